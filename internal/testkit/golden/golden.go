// Package golden is for tests whose expectation is a file: a script that says what is to be done
// and, between that, what it prints.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the scripts print into their files")

// Scripts runs each script that pattern names, as a test of its own. run returns the script with
// what it printed, which is to be the file as it is; with -update it becomes the file.
func Scripts(t *testing.T, pattern string, run func(t *testing.T, script string) string) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := run(t, string(raw))
			if !*update {
				Equal(t, "run with -update if that is right", string(raw), got)
			} else if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Equal ends a test whose texts differ, and shows where they begin to. what says what that means.
func Equal(t testing.TB, what, want, got string) {
	t.Helper()
	if want == got {
		return
	}
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		if i >= len(w) || i >= len(g) || w[i] != g[i] {
			t.Fatalf("line %d differs; %s\nwant:\n%s\ngot:\n%s", i+1, what, around(w, i),
				around(g, i))
		}
	}
}

// around returns the lines about the one at i, which may be beyond the end.
func around(lines []string, i int) string {
	return strings.Join(lines[min(len(lines), max(0, i-3)):min(len(lines), i+4)], "\n")
}
