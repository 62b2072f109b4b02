package intake

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/smtp"
)

// shelf is a directory.Book of users and aliases in here.example.
type shelf struct {
	users   map[string]*directory.User
	aliases map[string]*directory.Alias
}

func (s shelf) Local(domain string) bool                { return domain == "here.example" }
func (shelf) Domain(string) (*directory.Domain, bool)   { return nil, false }
func (s shelf) Get(n string) (*directory.User, bool)    { u, ok := s.users[n]; return u, ok }
func (s shelf) Alias(n string) (*directory.Alias, bool) { a, ok := s.aliases[n]; return a, ok }
func (shelf) Address(string) (*directory.User, bool)    { return nil, false }
func (s shelf) user(name string, keep bool, on ...string) {
	s.users[name] = &directory.User{Name: name, Forward: on, Keep: keep}
}
func (s shelf) alias(name, owner string, targets ...string) {
	s.aliases[name] = &directory.Alias{Name: name, Owner: owner, Targets: targets}
}

func newShelf() shelf {
	s := shelf{map[string]*directory.User{}, map[string]*directory.Alias{}}
	s.user("alice@here.example", false)
	s.user("bob@here.example", false)
	s.user("carol@here.example", false, "carol@away.example")
	s.user("dave@here.example", true, "dave@away.example")
	s.alias("sales@here.example", "", "alice@here.example", "x@away.example")
	s.alias("team@here.example", "chief@here.example", "alice@here.example", "carol@here.example")
	s.alias("loop@here.example", "", "loop@here.example")
	return s
}

// spool is a queue that keeps what it gets, and refuses what it is told to.
type spool struct {
	got    []string
	refuse int // the submission of this number; 0: none
	held   []func()
	hold   bool
	deaf   bool     // the observers do not hear of it
	log    []string // what was logged
}

// told is the observer that the session set.
type told struct{ s *spool }

func (o told) Stored(id mail.ID) { o.s.log = append(o.s.log, fmt.Sprintf("%d is told", id[0])) }

// Log notes which message came of which: "ID of ID: from <sender> to recipient (original) and
// others, octets".
func (s *spool) Log(r *maillog.Record) {
	if r.Type != maillog.Reception || !strings.HasSuffix(r.Text, r.ID.String()) ||
		r.MessageID != "<m@x>" {
		panic(fmt.Sprint("logged as received: ", *r))
	}
	s.log = append(s.log, fmt.Sprintf("%d of %d: <%s> to %s (%s) +%d, %d", r.ID[0], r.OrigID[0],
		r.Sender, r.Recipient, r.OrigRecipient, r.Recipients-1, r.Size))
}
func (*spool) Queued(mail.ID, string, int64, int) {}
func (*spool) Removed(mail.ID)                    {}

func (s *spool) Submit(
	env *mail.Envelope, content *mail.Content, done func(mail.ID, *smtp.Failure),
) {
	var text strings.Builder
	for _, c := range content.Chunks {
		text.Write(c)
	}
	var to []string
	for _, r := range env.Recipients {
		to = append(to, r.Address)
		if r.ORcpt != "" {
			to[len(to)-1] += "(" + strings.TrimPrefix(r.ORcpt, "rfc822;") + ")"
		}
	}
	first, _, _ := strings.Cut(text.String(), "\r\n")
	s.got = append(s.got, fmt.Sprintf("<%s> to %s: %s", env.Sender, strings.Join(to, " "), first))
	if int64(text.Len()) != content.Size {
		s.got[len(s.got)-1] += " OF ANOTHER SIZE"
	}
	content.Release()
	var f *smtp.Failure
	if len(s.got) == s.refuse {
		f = smtp.Temp(smtp.LocalError, "4.3.2", "no owner")
	}
	id := mail.ID{byte(len(s.got))}
	if o := content.Observer; o != nil && f == nil && !s.deaf {
		defer o.Stored(id)
	}
	if s.hold {
		s.held = append(s.held, func() { done(id, f) })
		return
	}
	done(id, f)
}

// submit runs one message through an expander and returns the answer.
func (s *spool) submit(
	t *testing.T, book directory.Book, text string, to ...string,
) (id mail.ID, f *smtp.Failure) {
	t.Helper()
	env := &mail.Envelope{Sender: "s@away.example"}
	for _, address := range to {
		env.Recipients = append(env.Recipients,
			mail.Recipient{Address: address, Domain: strings.ToLower(mail.DomainOf(address))})
	}
	before := fmt.Sprint(*env)
	released, answers := 0, 0
	content := &mail.Content{Chunks: [][]byte{[]byte(text)}, Size: int64(len(text)),
		MessageID: "<m@x>", Observer: told{s}, Released: func() { released++ }}
	x := &expander{next: s, book: book, width: func() int { return 3 }, log: s}
	x.Submit(env, content, func(got mail.ID, failure *smtp.Failure) {
		id, f, answers = got, failure,
			answers+1
	})
	for len(s.held) > 0 {
		first := s.held[0]
		s.held = s.held[1:]
		if answers > 0 {
			t.Error("the client was answered before all copies were stored")
		}
		first()
	}
	if released != 1 || answers != 1 {
		t.Errorf("to %v: released %d times, answered %d times", to, released, answers)
	}
	if fmt.Sprint(*env) != before {
		t.Errorf("the client's envelope was changed: %v", *env)
	}
	return id, f
}

func TestExpand(t *testing.T) {
	for _, c := range []struct {
		to   string
		want []string
	}{
		{"x@away.example Alice@here.example",
			[]string{"<s@away.example> to x@away.example " +
				"alice@here.example(Alice@here.example): Subject: x"}},
		{"alice@here.example bob@here.example",
			[]string{"<s@away.example> to alice@here.example bob@here.example: Subject: x"}},
		{"gone@here.example", []string{"<s@away.example> to gone@here.example: Subject: x"}},
		{"sales@here.example bob@here.example",
			[]string{"<s@away.example> to alice@here.example(sales@here.example) " +
				"x@away.example(sales@here.example) bob@here.example: Subject: x"}},
		{"carol@here.example",
			[]string{"<s@away.example> to carol@away.example(carol@here.example): Delivered-To: " +
				"carol@here.example"}},
		{"dave@here.example bob@here.example",
			[]string{"<s@away.example> to dave@here.example bob@here.example: Subject: x",
				"<s@away.example> to dave@away.example(dave@here.example): Delivered-To: " +
					"dave@here.example"}},
		{"team@here.example", []string{"<chief@here.example> to alice@here.example: Subject: x",
			"<chief@here.example> to carol@away.example: Delivered-To: carol@here.example"}},
		{"sales@here.example a@away.example b@away.example",
			[]string{"<s@away.example> to alice@here.example(sales@here.example) " +
				"x@away.example(sales@here.example) a@away.example: Subject: x",
				"<s@away.example> to b@away.example: Subject: x"}},
		// one mailbox by several names
		{"alice@here.example bob@here.example ALICE@here.example alice+x@here.example",
			[]string{"<s@away.example> to alice@here.example bob@here.example: Subject: x"}},
		{"alice@here.example loop@here.example",
			[]string{"<s@away.example> to alice@here.example loop@here.example: Subject: x"}},
	} {
		for _, hold := range []bool{false, true} {
			s := &spool{hold: hold}
			id, f := s.submit(t, newShelf(), "Subject: x\r\n\r\nbody\r\n", strings.Fields(c.to)...)
			if f != nil || id != (mail.ID{1}) || !slices.Equal(s.got, c.want) {
				t.Errorf("to %s: %v, %v\n got %q\nwant %q", c.to, id, f, s.got, c.want)
			}
		}
	}
}

// The session logs the message whose ID the client is told; the log says of the others where they
// come from, as soon as they are stored.
func TestExpansionIsLogged(t *testing.T) {
	for _, c := range []struct {
		to     string
		refuse int
		want   []string
	}{
		{"sales@here.example a@away.example b@away.example", 0,
			[]string{"1 is told", "2 of 1: <s@away.example> to b@away.example () +0, 4"}},
		{"bob@here.example team@here.example dave@here.example", 0, []string{
			"1 is told",
			"2 of 1: <chief@here.example> to alice@here.example (team@here.example) +0, 4",
			"3 of 1: <chief@here.example> to carol@away.example (team@here.example) +0, 38",
			"4 of 1: <s@away.example> to dave@away.example (dave@here.example) +0, 37"}},
		{"team@here.example", 2,
			[]string{"1 is told"}},
		{"carol@here.example", 0, []string{"1 is told"}},
	} {
		for _, s := range []*spool{{refuse: c.refuse}, {refuse: c.refuse, hold: true},
			{refuse: c.refuse, deaf: true}} {
			s.submit(t, newShelf(), "\r\n\r\n", strings.Fields(c.to)...)
			want := c.want
			if s.deaf && c.to == "carol@here.example" {
				want = nil // it is one message: the session notes it when it is answered
			}
			if !slices.Equal(s.log, want) {
				t.Errorf("to %s:\n got %q\nwant %q", c.to, s.log, want)
			}
		}
	}
}

// TestFirstIsStoredLast: the others are logged all the same, and name it.
func TestFirstIsStoredLast(t *testing.T) {
	s := &spool{}
	p := &expansion{x: &expander{log: s}, first: told{s}, messageID: "<m@x>",
		ids: make([]mail.ID, 2), noted: make([]bool, 2), flying: 2, next: 2,
		content:  mail.Share(&mail.Content{}),
		messages: []outgoing{{}, {env: &mail.Envelope{Recipients: make([]mail.Recipient, 1)}}},
		done:     func(mail.ID, *smtp.Failure) {}}
	stored{p, 1}.Stored(mail.ID{2})
	stored{p, 0}.Stored(mail.ID{1})
	p.answered(1, mail.ID{2}, nil)
	p.answered(0, mail.ID{1}, nil)
	want := []string{"1 is told", "2 of 1: <> to  () +0, 0"}
	if !slices.Equal(s.log, want) {
		t.Errorf("got %q, want %q", s.log, want)
	}
}

// A message that comes back to somebody who forwarded it is not forwarded again.
func TestForwardingLoops(t *testing.T) {
	back := "Received: from x\r\nDELIVERED-TO:  <Carol@here.example>\r\nSubject: " +
		"x\r\n\r\nDelivered-To: dave@here.example\r\n"
	s := &spool{}
	if _, f := s.submit(t, newShelf(), back, "carol@here.example"); f == nil ||
		f.Enhanced != "5.4.6" || len(s.got) != 0 {
		t.Errorf("the only recipient has had it: %v, %q", f, s.got)
	}
	// With others, local delivery reports on the one who has had it, for the same line.
	if _, f := s.submit(t, newShelf(), back, "carol@here.example",
		"alice@here.example"); f != nil ||
		!slices.Equal(s.got,
			[]string{"<s@away.example> to alice@here.example carol@here.example: " +
				"Received: from x"}) {
		t.Errorf("with others: %v, %q", f, s.got)
	}
	s = &spool{}
	// what the body says is no trace
	if _, f := s.submit(t, newShelf(), back, "dave@here.example"); f != nil || len(s.got) != 2 {
		t.Errorf("another user: %v, %q", f, s.got)
	}
	s = &spool{}
	if _, f := s.submit(t, newShelf(), "\r\n", "loop@here.example"); f == nil ||
		f.Enhanced != "5.4.6" {
		t.Errorf("an alias of itself: %v", f)
	}
}

// When one copy is refused the client is told to try again, once.
func TestExpandRefused(t *testing.T) {
	book := newShelf()
	var everybody []string
	for i := range 60 {
		name := fmt.Sprintf("f%02d@here.example", i)
		book.user(name, false, "x@away.example")
		everybody = append(everybody, name)
	}
	for _, hold := range []bool{false, true} {
		for refuse := range 61 {
			s := &spool{refuse: refuse, hold: hold}
			if _, f := s.submit(t, book, "\r\n", everybody...); (f != nil) != (refuse > 0) {
				t.Fatalf("refusing %d: %v", refuse, f)
			}
			if refuse == 0 && len(s.got) != 60 || refuse > 0 && len(s.got) > refuse+flyingCopies {
				t.Fatalf("refusing %d: %d submitted", refuse, len(s.got))
			}
		}
	}
}

func TestTooFar(t *testing.T) {
	book := newShelf()
	for i := range 50 {
		book.alias(fmt.Sprintf("c%d@here.example", i), "", fmt.Sprintf("c%d@here.example", i+1))
	}
	s := &spool{}
	if _, f := s.submit(t, book, "\r\n", "alice@here.example", "c0@here.example"); f == nil ||
		len(s.got) != 0 {
		t.Errorf("%v, %q", f, s.got)
	}
}

func FuzzDeliveredBefore(f *testing.F) {
	f.Add([]byte("Delivered-To: a@b.example\r\n\r\n"), 5)
	f.Add([]byte("delivered-to\r\n:\r\n"), 1)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		at = max(0, min(at, len(b)))
		whole := deliveredBefore(&mail.Content{Chunks: [][]byte{b}})
		parts := deliveredBefore(&mail.Content{Chunks: [][]byte{b[:at], b[at:]}})
		if len(whole) != len(parts) {
			t.Fatalf("%q in two at %d: %v, %v", b, at, whole, parts)
		}
		for user := range whole {
			if name, err := directory.Canonical(user); err != nil || name != user {
				t.Fatalf("%q: %q", b, user)
			}
		}
	})
}
