package maillog

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestPrepare: lines and events follow other options at once, no event is lost on the way from one
// file to another, and what cannot be opened changes nothing.
func TestPrepare(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one.jsonl"), filepath.Join(dir, "two.jsonl")
	var out bytes.Buffer
	l := open(t, Options{Lines: &out, Events: one})
	change := func(o Options) {
		t.Helper()
		configure, err := l.Prepare(o)
		if err != nil {
			t.Fatal(err)
		}
		configure()
	}
	const each = 500
	var writers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			for range each {
				l.Log(delivered())
			}
		})
	}
	for i := range 100 {
		change(Options{Events: []string{two, one}[i%2], JSON: i%2 == 0})
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	writers.Wait()
	if _, err := l.Prepare(Options{Events: filepath.Join(dir, "none", "x")}); err == nil {
		t.Error("a file in no directory was taken")
	}
	change(Options{JSON: true})
	l.Log(delivered()) // a line, and no event
	l.Logf("over")
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	events := 0
	for _, path := range []string{one, two} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		events += bytes.Count(b, []byte("\n"))
	}
	if events != 2*each {
		t.Errorf("%d events are in the files, want %d", events, 2*each)
	}
	for line := range strings.Lines(out.String()) {
		if whole := strings.HasSuffix(line, "\"}\n"); whole != strings.HasPrefix(line, "{") {
			t.Errorf("a line of two forms: %q", line)
		}
	}
	if !strings.HasSuffix(out.String(), "\"msg\":\"over\"}\n") {
		t.Errorf("the last line is in the former form: %q", out.String())
	}
}
