package directory

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// book is a Book of a few lines: "name > target target" is an alias, "name owner > ..." a list,
// "name ! target" forwards without and "name + target" with a copy kept; a name alone is a user
// with a mailbox, "name -" one without. "@domain separator" sets a domain's separator.
type book struct {
	users   map[string]*User
	aliases map[string]*Alias
	domains map[string]*Domain
}

func newBook(lines ...string) book {
	b := book{
		map[string]*User{},
		map[string]*Alias{},
		map[string]*Domain{"here.example": {Name: "here.example", Separator: "+"}},
	}
	for _, line := range lines {
		f := strings.Fields(line)
		switch {
		case len(f) == 1:
			b.users[f[0]] = &User{Name: f[0]}
		case f[1] == "-":
			b.users[f[0]] = &User{Name: f[0], NoMailbox: true}
		case f[1] == "!" || f[1] == "+":
			b.users[f[0]] = &User{Name: f[0], Forward: f[2:], Keep: f[1] == "+"}
		case f[1] == ">":
			b.aliases[f[0]] = &Alias{Name: f[0], Targets: f[2:]}
		case len(f) > 3 && f[2] == ">":
			b.aliases[f[0]] = &Alias{Name: f[0], Owner: f[1], Targets: f[3:]}
		default:
			b.domains[f[0][1:]] = &Domain{Name: f[0][1:], Separator: strings.Trim(f[1], `"`)}
		}
	}
	return b
}

func (b book) Local(domain string) bool           { _, ok := b.domains[domain]; return ok }
func (b book) Domain(name string) (*Domain, bool) { d, ok := b.domains[name]; return d, ok }
func (b book) Get(name string) (*User, bool)      { u, ok := b.users[name]; return u, ok }
func (b book) Alias(name string) (*Alias, bool)   { a, ok := b.aliases[name]; return a, ok }
func (b book) Address(name string) (*User, bool) {
	for _, u := range b.users {
		if slices.Contains(u.Addresses, name) {
			return u, true
		}
	}
	return nil, false
}

func (r Resolution) String() string {
	var out []string
	for _, c := range r.Copies {
		s := ""
		if c.List != nil {
			s += "from " + c.List.Owner + " "
		}
		if len(c.Through) > 0 {
			s += "through " + strings.Join(c.Through, ",") + " "
		}
		s += "to"
		for _, t := range c.To {
			s += " " + t.Address
			if t.Mailbox {
				s += "*"
			}
		}
		out = append(out, s)
	}
	for i, err := range r.Errs {
		if err != nil {
			out = append(out, fmt.Sprintf("%d: %v", i, err))
		}
	}
	if r.TooFar {
		out = append(out, "too far")
	}
	return strings.ReplaceAll(strings.Join(out, "; "), "@here.example", "")
}

func TestResolve(t *testing.T) {
	b := newBook(
		"alice@here.example",
		"bob@here.example",
		"bot@here.example -",
		"ü@here.example",
		"sales@here.example > alice@here.example Bob@Away.example",
		"all@here.example > sales@here.example bob@here.example ALICE@here.example",
		"half@here.example > alice@here.example gone@here.example",
		"dead@here.example > gone@here.example",
		"team@here.example owner@here.example > alice@here.example bob@here.example "+
			"carol@here.example",
		"teams@here.example chief@here.example > team@here.example alice@here.example",
		"self@here.example owner@here.example > self@here.example alice@here.example",
		"carol@here.example ! carol@away.example",
		"dave@here.example + dave@away.example carol@here.example",
		"eve@here.example ! EVE@here.example eve@away.example",
		"fay@here.example ! fay+copy@here.example",
		"gil@here.example + gil@here.example gil@away.example",
		"hal@here.example ! crew@here.example",
		"crew@here.example > hal@here.example alice@here.example",
		"ivy@here.example ! club@here.example",
		"club@here.example owner@here.example > ivy@here.example",
		"ping@here.example ! pong@here.example",
		"pong@here.example ! ping@here.example",
		"tick@here.example + tock@here.example",
		"tock@here.example + tick@here.example",
		"a1@here.example > a2@here.example",
		"a2@here.example > a1@here.example",
		"b1@here.example > b2@here.example x@away.example",
		"b2@here.example > b1@here.example",
		"@catch.example \"+\"",
		"@catch.example > alice@here.example",
		"x@catch.example",
		"@dash.example -",
		"al@dash.example",
		"al-b@dash.example",
		"@plain.example \"\"",
		"al@plain.example",
		"@old.example \"+\"",
		"@old.example > @here.example",
		"own@old.example",
		"@far.example \"+\"",
		"@far.example > @away.example @here.example",
		"@ring.example \"+\"",
		"@ring.example > @gnir.example",
		"@gnir.example \"+\"",
		"@gnir.example > @ring.example",
		"@rich.example \"+\"",
	)
	b.users["rich@rich.example"] = &User{Name: "rich@rich.example",
		Addresses: []string{"r@rich.example", "sales@here.example"}}
	// What "@dash.example -" means to newBook is a user without a mailbox.
	b.domains["dash.example"] = &Domain{Name: "dash.example", Separator: "-"}
	for _, c := range []struct{ from, want string }{
		{"alice@here.example", "to alice*"},
		{"Alice@HERE.example", "to alice*"},
		{"x@away.example", "to x@away.example"},
		{"X@Away.example alice@here.example", "to X@Away.example alice*"},
		{"alice@here.example alice@here.example", "to alice*"},
		{"gone@here.example", "to gone; 0: there is no such address"},
		{"Alice@old.example", "to alice*"},
		{"alice+x@old.example", "to alice*"},
		{"own@old.example", "to own@old.example*"},
		{"carol@old.example", "through carol to carol@away.example"},
		{"gone@old.example", "to gone@old.example; 0: there is no such address"},
		{"Bob@far.example", "to Bob@away.example bob*"},
		{"zoe@far.example", "to zoe@away.example zoe"},
		{"x@ring.example",
			"to x@ring.example; 0: its aliases and forwards lead back to themselves"},
		{"r@rich.example R+x@rich.example", "to rich@rich.example*"},
		{"sales@here.example", "to alice* Bob@Away.example"},
		{"alice@here.example gone@here.example", "to alice* gone; 1: there is no such address"},
		{"bot@here.example", "to bot; 0: there is no such address"},
		{"u\u0308@here.example", "to ü*"},
		// Aliases.
		{"sales@here.example", "to alice* Bob@Away.example"},
		{"all@here.example", "to alice* Bob@Away.example bob*"},
		{"half@here.example", "to alice* gone"},
		{"dead@here.example", "to dead; 0: there is no such address"},
		// Lists.
		{"team@here.example",
			"from owner to alice* bob*; from owner through carol to carol@away.example"},
		{"bob@here.example team@here.example",
			"to bob*; from owner to alice* bob*; from owner through carol to carol@away.example"},
		{"teams@here.example team@here.example",
			"from chief to alice*; from owner to alice* bob*; from owner through carol to " +
				"carol@away.example"},
		{"self@here.example", "from owner to alice*"},
		// Forwards.
		{"carol@here.example", "through carol to carol@away.example"},
		{"dave@here.example",
			"to dave*; through dave to dave@away.example; " +
				"through dave,carol to carol@away.example"},
		// Quotes that need not be, and addresses that nobody can have.
		{`"alice"@here.example`, "to alice*"},
		{`"a\lice"@here.example alice@here.example`, "to alice*"},
		{`"alice+news"@here.example`, "to alice*"},
		{`"alice"@catch.example x..y@catch.example`, "to alice*"},
		// Who forwards to the own address, as it is, with a detail or through an alias.
		{"eve@here.example", "to eve*; through eve to eve@away.example"},
		{"fay@here.example fay+x@here.example", "to fay*"},
		{"gil@here.example", "to gil*; through gil to gil@away.example"},
		{"hal@here.example", "to hal*; through hal to alice*"},
		{"crew@here.example", "to hal* alice*; through hal to alice*"},
		{"ivy@here.example", "from owner to ivy*"},
		{"ping@here.example", "to ping; 0: its aliases and forwards lead back to themselves"},
		{"tick@here.example", "to tick*; through tick to tock*"},
		{"a1@here.example", "to a1; 0: its aliases and forwards lead back to themselves"},
		{"b1@here.example b2@here.example", "to x@away.example"},
		// Details and catch-all.
		{"alice+news@here.example", "to alice*"},
		{"sales+x@here.example", "to alice* Bob@Away.example"},
		{"+alice@here.example", "to +alice; 0: there is no such address"},
		{"al-b@dash.example", "to al-b@dash.example*"},
		{"al-c@dash.example", "to al@dash.example*"},
		{"al+c@dash.example", "to al+c@dash.example; 0: there is no such address"},
		{"al+c@plain.example", "to al+c@plain.example; 0: there is no such address"},
		{"whoever@catch.example x@catch.example", "to alice* x@catch.example*"},
	} {
		if got := Resolve(b, strings.Fields(c.from)).String(); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.from, got, c.want)
		}
	}
}

func TestAccepts(t *testing.T) {
	b := newBook(
		"alice@here.example",
		"box@here.example > alice@here.example",
		"two@here.example > alice@here.example x@away.example",
		"loop@here.example > loop@here.example",
		"carol@here.example ! carol@away.example",
	)
	var many []string
	for i := range 3000 {
		many = append(many, fmt.Sprintf("m%d@away.example", i))
	}
	b.aliases["many@here.example"] = &Alias{
		Name:    "many@here.example",
		Owner:   "o@here.example",
		Targets: many,
	}
	for address, want := range map[string]struct {
		box string
		err error
	}{
		"ALICE@here.example":   {"alice@here.example", nil},
		"alice+x@here.example": {"alice@here.example", nil},
		"box@here.example":     {"alice@here.example", nil},
		"two@here.example":     {"", nil}, "many@here.example": {"", nil},
		"carol@here.example": {"", nil},
		"loop@here.example":  {"", ErrLoop}, "gone@here.example": {"", ErrNobody},
	} {
		if box, err := Accepts(b, address); box != want.box || !errors.Is(err, want.err) {
			t.Errorf("%s: %q, %v", address, box, err)
		}
	}
	var as Book = b
	if n := testing.AllocsPerRun(100, func() { Accepts(as, "alice@here.example") }); n != 0 {
		t.Errorf("the common case allocates %v times", n)
	}
}

// A resolution ends, however deep and wide the aliases are, and says when it did not see
// everything.
func TestResolveIsBounded(t *testing.T) {
	b := newBook()
	for i := range 100 { // a chain
		name := fmt.Sprintf("c%d@here.example", i)
		b.aliases[name] = &Alias{
			Name:    name,
			Targets: []string{fmt.Sprintf("c%d@here.example", i+1)},
		}
	}
	if r := Resolve(b, []string{"c0@here.example"}); !r.TooFar {
		t.Errorf("a chain of 100: %v", r)
	}
	if r := Resolve(b, []string{"c85@here.example"}); r.TooFar || len(r.Errs) != 1 {
		t.Errorf("a short chain to nobody: %v", r)
	}
	for i := range 10 { // every user forwards to every other: the ways are the orders of ten users
		name, forward := fmt.Sprintf("f%d@here.example", i), []string(nil)
		for j := range 10 {
			forward = append(forward, fmt.Sprintf("f%d@here.example", j))
		}
		b.users[name] = &User{Name: name, Forward: forward, Keep: true}
	}
	r := Resolve(b, []string{"f0@here.example"})
	if !r.TooFar || len(r.Copies) > maxSteps {
		t.Errorf("ten who forward to each other: %d copies, too far: %v", len(r.Copies), r.TooFar)
	}
}

// TestMaySend: an address with a detail is its user's, unless somebody else has just that one.
func TestMaySend(t *testing.T) {
	b := newBook("alice@here.example", "alice+news@here.example", "bob@here.example")
	alice := b.users["alice@here.example"]
	alice.Senders = []string{"sales@here.example", "alice@away.example", "@all.example"}
	for sender, want := range map[string]bool{
		"alice@here.example": true, "alice+shop@here.example": true,
		"alice+news@here.example": false, "sales+x@here.example": true,
		"alice+x@away.example": false, "x+y@all.example": true, "bob+x@here.example": false,
		"+alice@here.example": false,
	} {
		if MaySend(b, alice, sender) != want {
			t.Errorf("%s: %v", sender, !want)
		}
	}
}

// TestResolveQuoted: an address that needs its quotes is nobody's, but the catch-all's.
func TestResolveQuoted(t *testing.T) {
	b := newBook("alice@here.example", "@catch.example \"+\"",
		"@catch.example > alice@here.example")
	for address, want := range map[string]string{
		`"any thing"@here.example`:  `to "any thing"; 0: there is no such address`,
		`"any thing"@catch.example`: "to alice*",
	} {
		if got := Resolve(b, []string{address}).String(); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
}
