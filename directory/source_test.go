package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	rowstest "github.com/postroad/postroad/internal/testkit/rows"
)

// entries is a Source of lines: an entry, and its addresses.
type entries []string

func (l entries) Users(_ context.Context, fn func(*Imported) error) error {
	for _, line := range l {
		f := strings.Fields(line)
		entry := f[0]
		if entry == "-" {
			entry = ""
		}
		i := &Imported{Name: f[1], Addresses: f[1:], Entry: entry, Hash: "x"}
		if err := fn(i); err != nil {
			return err
		}
	}
	return nil
}

func (entries) Check(context.Context, *User, string) (bool, error) {
	return false, errors.ErrUnsupported
}

func follow(t *testing.T, e *Editor, lines ...string) Synced {
	t.Helper()
	did, err := e.Sync(ctx, "list", entries(lines), true)
	if err != nil {
		t.Fatal(err)
	}
	return did
}

// has are the users of a directory: each with its entry and further addresses.
func has(d *Directory) string {
	var all []string
	for _, u := range d.List("", 0) {
		line := strings.TrimSuffix(u.Name, "@l.example")
		if u.Entry != "" {
			line += "=" + u.Entry
		}
		if len(u.Addresses) > 0 {
			line += "(" + strings.ReplaceAll(strings.Join(u.Addresses, " "), "@l.example", "") + ")"
		}
		all = append(all, line)
	}
	return strings.Join(all, " ")
}

// TestValuesAreASet: a user stays who it is, in whichever order the addresses of the entry come,
// and whichever of them there are.
func TestValuesAreASet(t *testing.T) {
	e, s := newEditor(t)
	for _, step := range []struct{ list, want string }{
		{"id:1 a@l.example a.long@l.example", "a=id:1(a.long)"},
		{"id:1 a.long@l.example a@l.example", "a=id:1(a.long)"},
		{"id:1 A.Long@l.example b@l.example a@l.example A@l.example", "a=id:1(a.long b)"},
		// The address has gone, and another entry begins with one of those that stay.
		{"id:2 b@l.example c@l.example,id:1 b@l.example a.long@l.example",
			"a=id:1(a.long b) c=id:2"},
		// Another entry has what names the user.
		{"id:1 b@l.example,id:2 c@l.example a@l.example,id:3 a@l.example",
			"a=id:1(b) c=id:2(a)"},
		{"id:1 a@l.example,id:2 c@l.example b@l.example", "a=id:1 c=id:2(b)"},
		// They change their addresses, and stay who they are.
		{"id:1 c@l.example,id:2 a@l.example", "a=id:1(c) c=id:2(a)"},
		{"id:2 c@l.example", "c=id:2"},
		// The list was made anew, and entries have other keys.
		{"id:9 c@l.example d@l.example", "c=id:9(d)"},
		{"dn:x d@l.example c@l.example", "c=dn:x(d)"},
		{"dn:y d@l.example c@l.example", "c=dn:y(d)"},
		// That is somebody else: the entry is gone, and its address is not the first of this one.
		{"dn:z z@l.example c@l.example", "z=dn:z(c)"},
	} {
		before := len(s.Log)
		if did := follow(t, e, strings.Split(step.list, ",")...); has(e.Directory) != step.want {
			t.Fatalf("after %s: %s, want %s (%+v)", step.list, has(e.Directory), step.want, did)
		}
		again := New()
		if err := again.Load(s); err != nil || has(again) != step.want {
			t.Fatalf("after a start: %s, %v", has(again), err)
		}
		for _, line := range strings.Split(step.list, ",") {
			for _, address := range strings.Fields(line)[1:] {
				address = strings.ToLower(address)
				a, ok := again.Address(address)
				b, same := e.Directory.Address(address)
				if ok != same || ok && a.Name != b.Name {
					t.Errorf("%s is %v, and after a start %v", address, b, a)
				}
			}
		}
		changes := len(s.Log)
		if follow(t, e, strings.Split(step.list, ",")...); len(s.Log) != changes {
			t.Errorf("%s: %d changes, and %d when it comes again", step.list, changes-before,
				len(s.Log)-changes)
		}
	}
}

// A user of the version before has no entry: any of the addresses names it, and then it has one.
func TestUsersOfBefore(t *testing.T) {
	e, _ := newEditor(t)
	follow(t, e, "- a@l.example", "- b@l.example")
	if got := has(e.Directory); got != "a b" {
		t.Fatal(got)
	}
	// The one entry begins with an address that the other shares.
	follow(t, e, "id:1 b.long@l.example b@l.example", "id:2 b@l.example a@l.example",
		"id:3 c@l.example a@l.example")
	if got := has(e.Directory); got != "a=id:3(c) b.long=id:1(b) b=id:2(a)" {
		t.Error(got)
	}
}

// TestSharedAddresses: an address that two entries have stays with the one that had it, and goes to
// the other when that one has it no more.
func TestSharedAddresses(t *testing.T) {
	e, s := newEditor(t)
	did := follow(t, e, "id:2 b@l.example s@l.example", "id:1 a@l.example s@l.example")
	if got := has(e.Directory); got != "a=id:1 b=id:2(s)" || did.First == nil {
		t.Fatalf("%s, %+v", got, did)
	}
	did = follow(t, e, "id:1 a@l.example s@l.example", "id:2 b@l.example s@l.example")
	if got := has(e.Directory); got != "a=id:1 b=id:2(s)" || !errors.Is(did.First, errTwice) {
		t.Fatalf("in another order: %s, %+v", got, did)
	}
	if did = follow(t, e, "id:1 a@l.example s@l.example", "id:2 b@l.example"); did.First != nil {
		t.Error(did.First)
	}
	if u, ok := e.Directory.Address("s@l.example"); !ok || u.Name != "a@l.example" {
		t.Errorf("%s, %v", has(e.Directory), u)
	}
	// One that is another user's name is that user's.
	if did = follow(t, e, "id:1 a@l.example b@l.example", "id:2 b@l.example"); did.First == nil {
		t.Error("nothing is told of an address that two have")
	}
	if did = follow(t, e, "id:1 b@l.example", "id:2 b@l.example"); has(e.Directory) !=
		"a=id:1(b) b=id:2" || did.First == nil {
		t.Errorf("%s, %+v", has(e.Directory), did)
	}
	// Rows in which two have it, as two synchronisations may leave them, say the same everywhere.
	for _, name := range []string{"y@l.example", "x@l.example"} {
		u := &User{Name: name, Addresses: []string{"both@l.example"}}
		must(t, e.propose(ctx, cmdAdd, u))
	}
	again := New()
	must(t, again.Load(s))
	for _, d := range []*Directory{e.Directory, again} {
		if u, ok := d.Address("both@l.example"); !ok || u.Name != "x@l.example" {
			t.Errorf("both are %v", u)
		}
	}
	must(t, e.Remove(ctx, "x@l.example"))
	if u, ok := e.Directory.Address("both@l.example"); !ok || u.Name != "y@l.example" {
		t.Errorf("without x it is %v", u)
	}
	must(t, e.Remove(ctx, "y@l.example"))
	if n := len(e.Directory.further.users("both@l.example")); n != 0 {
		t.Errorf("%d names are left", n)
	}
}

// TestRefusedEntries: an entry that cannot be taken leaves its user as it is, and one of our own is
// not touched.
func TestRefusedEntries(t *testing.T) {
	e, _ := newEditor(t)
	must(t, e.AddDomain(ctx, "l.example", ""))
	must(t, e.Add(ctx, "own@l.example", "pw", Settings{}))
	must(t, e.AddAlias(ctx, "info@l.example", []string{"own@l.example"}, ""))
	follow(t, e, "id:1 a@l.example", "id:2 info@l.example b@l.example", "id:3 info@l.example")
	if got := has(e.Directory); got != "a=id:1 b=id:2(info) own" {
		t.Fatal(got)
	}
	did := follow(t, e, "id:1 a@l.example nobody", "id:2 b@l.example",
		"id:4 x@l.example own@l.example", "id:5 new@l.example nothing")
	if got := has(e.Directory); got != "a=id:1 b=id:2 own" || did.Refused != 2 || did.Kept != 1 {
		t.Errorf("%s, %+v", got, did)
	}
	var many []string
	for i := range maxSenders + 1 {
		many = append(many, fmt.Sprintf("a%d@l.example", i))
	}
	did = follow(t, e, "id:1 a@l.example "+strings.Join(many, " "), "id:2 b@l.example")
	if got := has(e.Directory); got != "a=id:1 b=id:2 own" || did.Refused != 1 {
		t.Errorf("with many addresses: %.100s, %+v", got, did)
	}
}

// TestBesideAnOlder: rows get nothing that an older member would lose, and lose nothing.
func TestBesideAnOlder(t *testing.T) {
	e, _ := newEditor(t)
	older := errors.New("an older member")
	e.Kept = func() error { return older }
	follow(t, e, "id:1 a@l.example a.long@l.example", "id:2 b@l.example")
	if u, _ := e.Directory.Get("a@l.example"); has(e.Directory) != "a b" ||
		!slices.Equal(u.Senders, []string{"a.long@l.example"}) {
		t.Errorf("%s, %+v", has(e.Directory), u)
	}
	follow(t, e, "id:1 a.long@l.example a@l.example", "id:2 b@l.example")
	if got := has(e.Directory); got != "a b" {
		t.Error("in another order:", got)
	}
	e.Kept = nil
	follow(t, e, "id:1 a.long@l.example a@l.example", "id:2 b@l.example")
	e.Kept = func() error { return older }
	follow(t, e, "id:1 a.long@l.example c@l.example", "id:2 b@l.example b2@l.example")
	if got := has(e.Directory); got != "a=id:1(a.long) b=id:2" {
		t.Error("when one is away:", got)
	}
}

// TestFurtherAfterRestore: what a snapshot brings replaces what there was.
func TestFurtherAfterRestore(t *testing.T) {
	e, s := newEditor(t)
	follow(t, e, "id:1 a@l.example x@l.example")
	other, _ := newEditor(t)
	follow(t, other, "id:1 a@l.example y@l.example")
	s.KV = other.Proposer.(*rowstest.Store).KV
	e.Directory.Restored()
	_, x := e.Directory.Address("x@l.example")
	_, y := e.Directory.Address("y@l.example")
	if x || !y {
		t.Errorf("x %v, y %v", x, y)
	}
}
