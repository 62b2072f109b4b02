package policy

import (
	"fmt"
	"testing"

	"github.com/postroad/postroad/directory"
)

// TestScramFormsOfNobody: a name that nobody has shows iterations and a salt as users have them, as
// often as they do, so that imported users cannot be told from those who do not exist. It shows the
// same each time, on each node, and whatever becomes of forms that it does not have.
func TestScramFormsOfNobody(t *testing.T) {
	ours := directory.Form{Iterations: directory.ScramIterations, Salt: 16, Weight: 1024}
	imported := directory.Form{Iterations: 4096, Salt: 12, Weight: 1024}
	long := directory.Form{Iterations: 120_000, Salt: 64, Weight: 256}
	server := func(forms ...directory.Form) *scramServer {
		return newScramServer(func() []byte { return []byte("of the cluster") },
			func() []directory.Form { return forms })
	}
	one, other := server(ours, imported), server(imported, ours)
	more, none := server(ours, imported, long), server()
	seen := map[directory.Form]int{}
	const names = 4000
	moved := 0
	for i := range names {
		name := fmt.Sprintf("nobody%d@l.example", i)
		c := one.madeUp(name)
		if again := other.madeUp(name); again.KeyFactors != c.KeyFactors {
			t.Fatalf("%s: another node shows another salt or count", name)
		}
		seen[directory.Form{Iterations: c.Iters, Salt: len(c.Salt), Weight: 1024}]++
		switch m := more.madeUp(name); {
		case m.KeyFactors == c.KeyFactors:
		case m.Iters != long.Iterations || len(m.Salt) != long.Salt:
			t.Fatalf("%s: changed to %d iterations by users with others", name, m.Iters)
		default:
			moved++
		}
		if c := none.madeUp(name); c.Iters != directory.ScramIterations || len(c.Salt) != 16 {
			t.Fatalf("%s: without users %d iterations", name, c.Iters)
		}
	}
	for _, f := range []directory.Form{ours, imported} {
		if n := seen[f]; n < names/2-200 || n > names/2+200 {
			t.Errorf("%d of %d names have %d iterations, want half", n, names, f.Iterations)
		}
	}
	if moved < names/9-120 || moved > names/9+120 {
		t.Errorf("%d of %d names have the form of a ninth of the users", moved, names)
	}
}
