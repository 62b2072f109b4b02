package directory

import (
	"fmt"
	"testing"
)

// TestForms follows users who come, change and go.
func TestForms(t *testing.T) {
	user := func(name string, iterations, salt int) *User {
		return &User{Name: name, Scram: &Scram{Iterations: iterations, Salt: make([]byte, salt)}}
	}
	d := New()
	put := func(u *User) {
		d.pending = append(d.pending, change{d.tables[users], u.Name, u})
		d.Committed()
	}
	want := func(count int, forms ...Form) {
		t.Helper()
		if got := d.Forms(); fmt.Sprint(got) != fmt.Sprint(forms) || d.Users() != count {
			t.Errorf("%d users, %v, want %d, %v", d.Users(), got, count, forms)
		}
	}
	want(0)
	put(&User{Name: "plain@l.example"})
	want(1)
	for i := range 5 {
		put(user(fmt.Sprintf("n%d@l.example", i), 4096, 12))
	}
	put(user("own@l.example", ScramIterations, 16))
	want(7, Form{4096, 12, 4}, Form{ScramIterations, 16, 1})
	put(user("own@l.example", 10_000, 16))
	d.pending = append(d.pending, change{d.tables[users], "n0@l.example", nil},
		change{d.tables[users], "n1@l.example", nil})
	d.Committed()
	want(5, Form{4096, 12, 2}, Form{10_000, 16, 1})
	d.census.load(&d.tables[users].view)
	want(5, Form{4096, 12, 2}, Form{10_000, 16, 1})
}
