package signing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/dns"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	rowstest "github.com/postroad/postroad/internal/testkit/rows"
	"github.com/postroad/postroad/mailauth/dkim"
)

var ctx = context.Background()

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open is a sealer that seals nothing, but ties a secret to its purpose and a number.
type open struct{ epoch uint64 }

func (s *open) Newest() (uint64, bool) { return s.epoch, s.epoch > 0 }

func (s *open) Seal(purpose string, plain []byte) ([]byte, error) {
	return append(fmt.Appendf(nil, "%s|%d|", purpose, s.epoch), plain...), nil
}

func (s *open) Open(purpose string, sealed []byte) ([]byte, error) {
	of, rest, _ := bytes.Cut(sealed, []byte("|"))
	if string(of) != purpose {
		return nil, errors.New("of another purpose")
	}
	_, plain, _ := bytes.Cut(rest, []byte("|"))
	return bytes.Clone(plain), nil
}

func epochOf(sealed []byte) (n uint64, ok bool) {
	_, rest, _ := bytes.Cut(sealed, []byte("|"))
	_, err := fmt.Sscanf(string(rest), "%d|", &n)
	return n, err == nil
}

// world is keys with their life, and a DNS that the test writes.
type world struct {
	*Life
	t       testing.TB
	seal    *open
	now     time.Time
	records map[string][]string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	d := directory.New()
	store := rowstest.New(d)
	must(t, d.Load(store))
	w := &world{t: t, seal: &open{1}, now: time.Unix(1.8e9, 0).UTC(),
		records: map[string][]string{}}
	clock := func() time.Time { return w.now }
	w.Life = &Life{
		Editor: &directory.Editor{Directory: d, Proposer: store, Now: clock}, Sealer: w.seal,
		Texts: func(_ context.Context, name string) dns.Answer {
			if texts := w.records[name]; texts != nil {
				return dns.Answer{Outcome: dns.Exists, Texts: texts}
			}
			return dns.Answer{Outcome: dns.NoName}
		},
		Expire: func() time.Duration { return 5 * 24 * time.Hour }, Now: clock,
		Logf: t.Logf,
	}
	return w
}

// key makes a key whose record is in DNS.
func (w *world) key(r Request) *directory.SigningKey {
	w.t.Helper()
	r.Algorithm = dkim.KeyEd25519 // made at once
	k, err := w.Generate(ctx, r)
	must(w.t, err)
	w.publish(k)
	return k
}

func (w *world) publish(k *directory.SigningKey) {
	w.t.Helper()
	name, record, err := w.Record(k)
	must(w.t, err)
	w.records[name] = []string{record.Text()}
}

// advance looks at all keys once.
func (w *world) advance() {
	w.t.Helper()
	for after := ""; ; {
		next, err := w.Advance(ctx, after)
		must(w.t, err)
		if after = next; after == "" {
			return
		}
	}
}

func (w *world) states(domain string) (all []string) {
	for _, k := range w.Of(domain) {
		all = append(all, k.Selector()+" "+string(k.State))
	}
	return all
}

// TestLife: a key signs when DNS has its record, and not before; its successor likewise; the old
// one goes when no mail can be on its way that it signed.
func TestLife(t *testing.T) {
	w := newWorld(t)
	k, err := w.Generate(ctx, Request{Domain: "Bücher.example", Selector: "s1",
		Algorithm: dkim.KeyEd25519})
	must(t, err)
	const domain = "xn--bcher-kva.example"
	want := func(when string, states ...string) {
		t.Helper()
		w.advance()
		if got := w.states(domain); strings.Join(got, ", ") != strings.Join(states, ", ") {
			t.Errorf("%s: %q, not %q", when, got, states)
		}
	}
	want("without a record", "s1 new")
	name, record, err := w.Record(k)
	must(t, err)
	for why, texts := range map[string][]string{
		"another text": {"v=spf1 -all"}, "a key that is withdrawn": {"v=DKIM1; p="},
		"two":           {record.Text(), "v=DKIM1; p="},
		"a broken one":  {"v=DKIM1; p=!!"},
		"another's key": {strings.Replace(record.Text(), "p=", "p=AAAA", 1)},
	} {
		w.records[name] = texts
		want(why, "s1 new")
	}
	w.publish(k)
	want("with its record", "s1 active")
	if _, err := w.Retire(ctx, k.Name, false); !errors.Is(err, ErrLastKey) {
		t.Errorf("the last key is retired: %v", err)
	}

	next, err := w.Rotate(ctx, domain)
	must(t, err)
	if again, err := w.Rotate(ctx, domain); err != nil || again[0].Name != next[0].Name {
		t.Errorf("rotated twice: %+v, %v", again, err)
	}
	s2 := next[0].Selector()
	want("after rotate", s2+" new", "s1 active")
	w.now = w.now.Add(time.Hour)
	w.publish(next[0])
	want("with the second record", s2+" active", "s1 retiring")
	if gone, err := w.Retire(ctx, k.Name, false); gone || err == nil {
		t.Errorf("retired while its mail may be on its way: %t, %v", gone, err)
	}
	w.now = w.now.Add(5*24*time.Hour + time.Minute)
	want("when its mail is gone", s2+" active")
	if gone, err := w.Retire(ctx, next[0].Name, true); !gone || err != nil {
		t.Errorf("by force: %t, %v", gone, err)
	}
}

// TestReseal: all keys are sealed with the newest key of the cluster, some at a time, and stay what
// they are.
func TestReseal(t *testing.T) {
	w := newWorld(t)
	for i := range resealStep + 20 {
		w.key(Request{Domain: fmt.Sprintf("d%d.example", i), Selector: "s"})
	}
	w.advance()
	w.seal.epoch = 2
	calls := 0
	for done := false; !done; calls++ {
		var err error
		done, err = Reseal(ctx, w.Editor, w.seal, epochOf)
		must(t, err)
	}
	for _, k := range w.List("", 0) {
		if n, _ := epochOf(k.Sealed); n != 2 || k.State != directory.KeyActive {
			t.Errorf("%s is sealed with %d, and %s", k.Name, n, k.State)
		}
		if is, why := w.Check(ctx, k); is != Published {
			t.Errorf("%s: %s", k.Name, why)
		}
	}
	if calls != 3 {
		t.Errorf("%d calls", calls)
	}
}

// TestPack: a packed key is the same key.
func TestPack(t *testing.T) {
	for _, c := range []struct {
		algorithm string
		bits, max int
	}{{dkim.RSASHA256, 1024, 140}, {dkim.RSASHA256, 2048, 270}, {dkim.Ed25519SHA256, 0, 33}} {
		text, err := dkim.GenerateKey(c.algorithm, c.bits)
		must(t, err)
		want, err := recordOfPrivate(text)
		must(t, err)
		packed, err := Pack(text)
		must(t, err)
		if len(packed) > c.max {
			t.Errorf("%s %d: %d octets", c.algorithm, c.bits, len(packed))
		}
		back, err := unpack(packed)
		must(t, err)
		if got, err := recordOfPrivate(back); err != nil || got.Text() != want.Text() {
			t.Errorf("%s %d: another key, %v", c.algorithm, c.bits, err)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	text, _ := dkim.GenerateKey(dkim.Ed25519SHA256, 0)
	packed, _ := Pack(text)
	f.Add(packed)
	f.Add([]byte{packedRSA, 0, 1, 0, 1, 0, 1, 3, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		text, err := unpack(b)
		if err != nil {
			return
		}
		if again, err := Pack(text); err == nil && !bytes.Equal(again, b) {
			t.Errorf("%x became %x", b, again)
		}
	})
}

// TestDraft: however a message comes in pieces, the draft has its header and its body.
func TestDraft(t *testing.T) {
	const text = "Received: x\r\nFrom: a@a.example\r\n\r\nbody\r\n\r\nmore\r\n"
	whole := NewDraft()
	_, _ = whole.Write([]byte(text))
	want, err := whole.body.Sum(dkim.Relaxed)
	must(t, err)
	for size := 1; size < len(text); size++ {
		d := NewDraft()
		for at := 0; at < len(text); at += size {
			_, _ = d.Write([]byte(text[at:min(len(text), at+size)]))
		}
		sum, err := d.body.Sum(dkim.Relaxed)
		if string(d.head) != text[:strings.Index(text, "body")] || sum != want || err != nil {
			t.Errorf("in pieces of %d: %q, %v", size, d.head, err)
		}
		d.Release()
	}
	long := NewDraft()
	for range maxHead / 1024 * 2 {
		_, _ = long.Write(bytes.Repeat([]byte("x"), 1024))
	}
	if !long.tooBig || len(long.head) > maxHead {
		t.Errorf("a header of %d octets is kept", len(long.head))
	}
}

// book is a Book of one's own decisions.
type book struct {
	*directory.Directory
	may    func(o *mail.Origin, author string) bool
	tenant func(o *mail.Origin, tenant string) bool
}

func (b book) MaySign(o *mail.Origin, author string) bool  { return b.may(o, author) }
func (b book) SignsFor(o *mail.Origin, tenant string) bool { return b.tenant(o, tenant) }

// sink keeps what it is handed.
type sink struct {
	mu  sync.Mutex
	got []string
}

func (s *sink) Submit(_ *mail.Envelope, c *mail.Content, done func(mail.ID, *smtp.Failure)) {
	s.mu.Lock()
	s.got = append(s.got, string(bytes.Join(c.Chunks, nil)))
	s.mu.Unlock()
	c.Release()
	done(mail.ID{}, nil)
}

func submit(s *Signer, text string, origin mail.Origin) (f *smtp.Failure) {
	d := NewDraft()
	_, _ = d.Write([]byte(text))
	answered := make(chan *smtp.Failure)
	go s.Submit(&mail.Envelope{Origin: origin}, &mail.Content{Chunks: [][]byte{[]byte(text)},
		Size: int64(len(text)), Watcher: d}, func(_ mail.ID, f *smtp.Failure) { answered <- f })
	return <-answered
}

// TestSigner signs with the newest key of each algorithm, that of the sender's tenant first, and
// goes on without a signature when a key cannot be opened.
func TestSigner(t *testing.T) {
	w := newWorld(t)
	for _, r := range []Request{
		{Domain: "a.example", Selector: "old"}, {Domain: "a.example", Selector: "new"},
		{Domain: "a.example", Selector: "theirs", Tenant: "t"},
		{Domain: "a.example", Selector: "others", Tenant: "u"},
	} {
		k := w.key(r)
		must(t, w.Editor.SetKey(ctx, &directory.SigningKey{Name: k.Name, Tenant: k.Tenant,
			Algorithm: k.Algorithm, Sealed: k.Sealed, State: directory.KeyActive}))
		w.now = w.now.Add(time.Minute)
	}
	out, unsigned := &sink{}, 0
	broken := false
	s := New(Options{
		Book: book{w.Editor.Directory,
			func(o *mail.Origin, author string) bool { return o.User == author },
			func(o *mail.Origin, tenant string) bool { return tenant == "" || tenant == o.Tenant }},
		Open: func(purpose string, sealed []byte) ([]byte, error) {
			if broken {
				return nil, errors.New("no key")
			}
			return w.seal.Open(purpose, sealed)
		},
		Next: out, Workers: 2, Unsigned: func(string, error) { unsigned++ },
	})
	defer s.Close()
	const text = "Received: x\r\nFrom: A <a@a.example>\r\nSubject: s\r\n\r\nbody\r\n"
	for _, c := range []struct {
		origin   mail.Origin
		selector string // "": not signed
	}{
		{mail.Origin{User: "a@a.example"}, "new"},
		{mail.Origin{User: "a@a.example", Tenant: "t"}, "theirs"},
		{mail.Origin{User: "b@a.example"}, ""},
	} {
		if f := submit(s, text, c.origin); f != nil {
			t.Fatal(f)
		}
		got := out.got[len(out.got)-1]
		if c.selector == "" {
			if got != text {
				t.Errorf("%+v: %q", c.origin, got)
			}
			continue
		}
		all, err := msgauth.VerifyWithOptions(strings.NewReader(got), &msgauth.VerifyOptions{
			LookupTXT: func(name string) ([]string, error) {
				return w.records[strings.TrimSuffix(name, ".")], nil
			}})
		if err != nil || len(all) != 1 || all[0].Err != nil ||
			!strings.Contains(got, "s="+c.selector+";") {
			t.Errorf("%+v: %v, %v: %q", c.origin, all, err, got)
		}
	}
	broken = true
	k := w.key(Request{Domain: "b.example", Selector: "s"})
	must(t, w.Activate(ctx, k))
	other := strings.ReplaceAll(text, "a.example", "b.example")
	if f := submit(s, other, mail.Origin{User: "a@b.example"}); f != nil || unsigned != 1 ||
		out.got[len(out.got)-1] != other {
		t.Errorf("with a key that cannot be opened: %v, %d unsigned", f, unsigned)
	}
	if st := s.Stats(); st.Signed != 2 || st.Unsigned != 1 {
		t.Errorf("%+v", st)
	}
}

// TestKeysMakePlace: many more keys than have a place are used by many at once.
func TestKeysMakePlace(t *testing.T) {
	w := newWorld(t)
	const keys = 40
	for i := range keys {
		w.key(Request{Domain: fmt.Sprintf("d%d.example", i), Selector: "s"})
	}
	p := &parsedKeys{open: w.seal.Open, most: 4}
	defer p.close()
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 200 {
				k := w.Of(fmt.Sprintf("d%d.example", (i*7+g)%keys))[0]
				if _, err := p.get(k); err != nil {
					t.Errorf("%s: %v", k.Name, err)
				}
			}
		})
	}
	all.Wait()
	if p.used.Len() != 4 || len(p.byName) != 4 {
		t.Errorf("%d keys, %d names", p.used.Len(), len(p.byName))
	}
}
