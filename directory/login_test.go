package directory

import "testing"

func TestLoginName(t *testing.T) {
	b := newBook(
		"alice@here.example",
		"a@here.example > Alice@here.example",
		"b@here.example > a@here.example",
		"both@here.example > alice@here.example bob@here.example",
		"list@here.example owner@here.example > alice@here.example",
		"ring@here.example > gnir@here.example",
		"gnir@here.example > ring@here.example",
		"away@away.example > alice@here.example",
		"@old.example \"+\"",
		"@old.example > @here.example",
		"@all.example \"+\"",
		"@all.example > alice@here.example",
		"bob@here.example",
	)
	b.users["bob@here.example"].Addresses = []string{"rob@here.example", "a@here.example"}
	for _, c := range []struct{ said, plain, aliases string }{
		{"alice@here.example", "alice@here.example", "alice@here.example"},
		{"rob@here.example", "bob@here.example", "bob@here.example"},
		{"a@here.example", "bob@here.example", "alice@here.example"},
		{"b@here.example", "", "alice@here.example"},
		{"a@old.example", "", "alice@here.example"},
		{"rob@old.example", "", "bob@here.example"},
		{"both@here.example", "", ""},
		{"list@here.example", "", ""},
		{"ring@here.example", "", ""},
		{"away@away.example", "", ""}, // not a domain of ours any more
		{"x@all.example", "", ""},
		{"alice+x@here.example", "", ""},
		{"gone@here.example", "", ""},
	} {
		for aliases, want := range map[bool]string{false: c.plain, true: c.aliases} {
			if got, ok := LoginName(b, c.said, aliases); got != want || ok != (want != "") {
				t.Errorf("%s, aliases %v: %q, want %q", c.said, aliases, got, want)
			}
		}
	}
}
