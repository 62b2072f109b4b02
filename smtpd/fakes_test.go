package smtpd

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// strictPolicy relays for authenticated users only, and takes mail for local.example, whose users
// are u and postmaster, literally.
type strictPolicy struct{}

func (strictPolicy) Connect(c *Client) *smtp.Failure {
	if c.Addr.Addr().String() == "192.0.2.66" {
		return smtp.Perm(554, "5.7.1", "We have no business with you")
	}
	return nil
}

func (strictPolicy) Trusts(c *Client) bool {
	return c.User != nil || c.Addr.Addr().String() == "192.0.2.1"
}

func (strictPolicy) Mail(c *Client, sender string) *smtp.Failure {
	if c.User != nil && sender != "" && sender != c.User.Name {
		return smtp.Perm(550, "5.7.1", "You may not send as "+sender)
	}
	return nil
}

func (strictPolicy) Rcpt(c *Client, sender string, r *mail.Recipient, accepted int) *smtp.Failure {
	if r.Domain == "" {
		r.Address, r.Domain = "postmaster@local.example", "local.example"
	}
	switch {
	case c.User != nil || r.Domain == "relayed.example":
		return nil
	case r.Domain != "local.example":
		return smtp.Perm(550, "5.7.1", "Relaying denied")
	}
	local := strings.ToLower(smtp.UnquoteLocal(r.Address[:strings.LastIndexByte(r.Address, '@')]))
	switch local {
	case "late": // who asks for it has asked for too much
		return &smtp.Failure{Code: 550, Enhanced: "5.1.1", Text: "No such user here",
			Delay: 3 * time.Second}
	case "last":
		return &smtp.Failure{Code: 421, Enhanced: "4.7.1", Text: "Goodbye", Close: true,
			Delay: 3 * time.Second}
	}
	if local != "u" && local != "postmaster" {
		return smtp.Perm(550, "5.1.1", "No such user here")
	}
	return nil
}

func (strictPolicy) Data(c *Client, recipients int) *smtp.Failure {
	if c.User != nil && recipients > 3 {
		return smtp.Temp(450, "4.7.1", "Too many recipients this hour; try again later")
	}
	return nil
}

// fakeAuth knows one user, whose password is "secret", and a SCRAM exchange of fixed words.
type fakeAuth struct{}

var fakeUser = &User{Name: "u@local.example", Tenant: "acme"}

func (fakeAuth) Plain(_ *Client, authzid, user, password string, done func(*User, *smtp.Failure)) {
	if user == fakeUser.Name && password == "secret" {
		done(fakeUser, nil)
	} else {
		done(nil, errAuthInvalid)
	}
}

func (fakeAuth) ScramSHA256(*Client) ScramExchange { return &fakeScram{} }

type fakeScram struct{ steps int }

func (x *fakeScram) Step(client []byte) ([]byte, *User, bool, *smtp.Failure) {
	x.steps++
	switch {
	case x.steps == 1 && string(client) == "client-first":
		return []byte("server-first"), nil, false, nil
	case x.steps == 2 && string(client) == "client-final":
		return []byte("server-final"), fakeUser, true, nil
	}
	return nil, nil, false, errAuthInvalid
}

// taken is what a fakeQueue took.
type taken struct {
	env  *mail.Envelope
	data string
}

// fakeQueue takes everything at once.
type fakeQueue struct {
	fail *smtp.Failure // the answer, if set
	mu   struct {
		sync.Mutex
		got []taken
	}
}

func (q *fakeQueue) Submit(
	env *mail.Envelope, content *mail.Content, done func(mail.ID, *smtp.Failure),
) {
	data := readContent(content)
	if q.fail != nil {
		done(mail.ID{}, q.fail)
		return
	}
	q.mu.Lock()
	q.mu.got = append(q.mu.got, taken{env, data})
	id := mail.ID{9: byte(len(q.mu.got))}
	q.mu.Unlock()
	done(id, nil)
}

func (q *fakeQueue) messages() []taken {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]taken(nil), q.mu.got...)
}

func (q *fakeQueue) forget() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.got = nil
}

// readContent reads and releases a content.
func readContent(c *mail.Content) string {
	var b bytes.Buffer
	for _, chunk := range c.Chunks {
		b.Write(chunk)
	}
	if c.Spill != nil {
		io.Copy(&b, io.NewSectionReader(c.Spill.F, 0, c.Spill.Size))
	}
	if int64(b.Len()) != c.Size {
		panic("content has another size than it says")
	}
	c.Release()
	return b.String()
}

func testServer(t testing.TB, change func(*Options)) *Server {
	t.Helper()
	o := Options{Hostname: "mx.test", Policy: strictPolicy{}, Authenticator: fakeAuth{},
		Submitter: &fakeQueue{}, Settings: Settings{CampaignHeader: "X-Campaign"}}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
