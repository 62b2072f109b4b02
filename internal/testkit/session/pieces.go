package session

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Pieces fuzzes a session with up to most octets, beginning with what the clients of testdata/*.txt
// send and with one input more: whatever the input, transcript is the same in whatever pieces the
// input comes. cut says how long the next piece of what is left is.
func Pieces(
	f *testing.F, most int, more string,
	transcript func(t testing.TB, input []byte, cut func(left int) int) string,
) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatal("no scripts", err)
	}
	for i, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(clientOctets(f, string(raw))), uint64(i))
	}
	f.Add([]byte(more), uint64(1))
	f.Fuzz(func(t *testing.T, input []byte, seed uint64) {
		if len(input) > most {
			return
		}
		random := rand.New(rand.NewPCG(seed, 1))
		whole := transcript(t, input, func(left int) int { return left })
		pieces := transcript(t, input, func(left int) int {
			return 1 + random.IntN(min(left, 1+random.IntN(300)))
		})
		if whole != pieces {
			t.Fatalf("whole:\n%s\nin pieces:\n%s", whole, pieces)
		}
	})
}

// clientOctets returns what the client of a script sends.
func clientOctets(t testing.TB, script string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(script, "\n") {
		if arg, ok := strings.CutPrefix(line, "> "); ok {
			b.WriteString(arg + "\r\n")
		} else if arg, ok := strings.CutPrefix(line, ">> "); ok {
			b.WriteString(Unquote(t, arg))
		}
	}
	return b.String()
}
