package policy

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/smtpd"
)

// users is a directory's view.
type users struct {
	m         sync.Map
	aliases   map[string]*directory.Alias
	domains   map[string]*directory.Domain
	everybody bool // there is a user of any name
}

func (u *users) Get(name string) (*directory.User, bool) {
	v, ok := u.m.Load(name)
	if !ok {
		return &directory.User{Name: name}, u.everybody
	}
	return v.(*directory.User), true
}

func (u *users) Alias(name string) (*directory.Alias, bool) {
	a, ok := u.aliases[name]
	return a, ok
}
func (u *users) Address(string) (*directory.User, bool) { return nil, false }

func (u *users) Domain(name string) (*directory.Domain, bool) {
	d, ok := u.domains[name]
	return d, ok
}

func (u *users) put(t *testing.T, name, password string, change ...func(*directory.User)) {
	t.Helper()
	hash, err := directory.HashPassword(password, cheap)
	if err != nil {
		t.Fatal(err)
	}
	next := &directory.User{Name: name, Hash: hash, Version: 1}
	if old, ok := u.Get(name); ok {
		next.Version = old.Version + 1
	}
	for _, f := range change {
		f(next)
	}
	u.m.Store(name, next)
}

// cheap is a cost for tests; it is not the cost that matters to them.
var cheap = directory.Cost{MemoryKiB: 8, Passes: 1, Lanes: 1}

// manual is a clock that moves when it is told to.
type manual struct {
	mu  sync.Mutex
	now time.Time
}

func newManual() *manual { return &manual{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} }

func (m *manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

func (m *manual) add(d time.Duration) {
	m.mu.Lock()
	m.now = m.now.Add(d)
	m.mu.Unlock()
}

func client(kind smtpd.Kind, addr string, user string) *smtpd.Client {
	c := &smtpd.Client{Kind: kind, Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 40000),
		Local: netip.MustParseAddrPort("192.0.2.25:25")}
	if user != "" {
		c.User = &smtpd.User{Name: user}
	}
	return c
}

// recipient is what the session makes of RCPT before it asks; nil when the grammar refuses it.
func recipient(t *testing.T, path string) (*mail.Recipient, *smtp.Failure) {
	t.Helper()
	a, f := smtp.ParseRcpt([]byte("TO:<"+path+">"), smtp.Extensions{SMTPUTF8: true})
	if f != nil {
		return nil, f
	}
	return &mail.Recipient{Address: a.Address, Domain: a.Domain}, nil
}

func wantCode(t *testing.T, what string, f *smtp.Failure, code int, enhanced string) {
	t.Helper()
	switch {
	case code == 0 && f != nil:
		t.Errorf("%s: refused with %v", what, f)
	case code != 0 && f == nil:
		t.Errorf("%s: accepted, want %d %s", what, code, enhanced)
	case code != 0 && (f.Code != code || f.Enhanced != enhanced):
		t.Errorf("%s: %v, want %d %s", what, f, code, enhanced)
	}
}
