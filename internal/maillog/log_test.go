package maillog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// open starts a log that ends with the test.
func open(t testing.TB, o Options) *Log {
	t.Helper()
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(context.Background()) })
	return l
}

func TestGoldenLines(t *testing.T) {
	var out bytes.Buffer
	l := open(t, Options{Lines: &out})
	l.Queued(testID, "a@example.org", 4096, 1)
	l.Log(delivered())
	l.Removed(testID)
	l.Errorf("disk %s", "full")
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(`ID: from=<a@example.org>, size=4096, nrcpt=1 (queue active)
ID: to=<b@example.net>, relay=mx.example.net[192.0.2.25]:25, delay=1.2, delays=0.1/0/0.9/0.2, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4F2)
ID: removed
error: disk full
`, "ID", testID.String())
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestPrefixAndJSON(t *testing.T) {
	var text, js bytes.Buffer
	for out, o := range map[*bytes.Buffer]Options{&text: {Prefix: true, Host: "mx1"},
		&js: {JSON: true}} {
		o.Lines = out
		l := open(t, o)
		l.Log(delivered())
		l.Removed(testID)
		l.Logf("say %q\nand", "hi")
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	syslog := regexp.MustCompile(
		`^([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d mx1 postroad(/smtp|/qmgr)?\[\d+\]: [^\n]+\n){3}$`)
	if !syslog.MatchString(text.String()) {
		t.Errorf("prefix:\n%s", text.String())
	}
	msgs := []string{string(appendRecord(nil, delivered())), testID.String() + ": removed",
		`say "hi"; and`}
	dec := json.NewDecoder(&js)
	for _, want := range msgs {
		var got struct{ Time, Level, Msg string }
		if err := dec.Decode(&got); err != nil || got.Msg != want || got.Level != "info" ||
			got.Time == "" {
			t.Errorf("got %+v (%v), want %s", got, err, want)
		}
	}
}

// gate is a writer that waits until it is opened.
type gate struct {
	open    chan struct{}
	entered chan struct{}
	once    sync.Once
	buf     bytes.Buffer
}

func (g *gate) Write(p []byte) (int, error) {
	g.once.Do(func() { close(g.entered) })
	<-g.open
	return g.buf.Write(p)
}

// TestSlowReader fills the buffer while the reader stands still: nothing waits, what does not fit
// is counted, and the log says so.
func TestSlowReader(t *testing.T) {
	g := &gate{open: make(chan struct{}), entered: make(chan struct{})}
	l := open(t, Options{Lines: g, Buffer: 4096})
	const total = 1000
	l.Logf("first %d", 0)
	<-g.entered
	for i := 1; i < total; i++ {
		l.Logf("line %04d", i)
	}
	close(g.open)
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.Logf("last")
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := l.Stats()
	if s.LinesDropped == 0 || s.Lines+s.LinesDropped != total+1 {
		t.Fatalf("stats %+v of %d lines", s, total+1)
	}
	report := fmt.Sprintf(
		"error: %d log lines were dropped: they came faster than they could be written\n",
		s.LinesDropped)
	if out := g.buf.String(); strings.Count(out, "line ")+2 != int(s.Lines) ||
		!strings.Contains(out, report) || !strings.HasSuffix(out, "last\n") {
		t.Errorf("%+v\n%s", s, out)
	}
}

func TestCloseGivesUp(t *testing.T) {
	g := &gate{open: make(chan struct{}), entered: make(chan struct{})}
	defer close(g.open)
	l, err := Open(Options{Lines: g})
	if err != nil {
		t.Fatal(err)
	}
	l.Logf("stuck")
	<-g.entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Close = %v", err)
	}
}

func TestEventsRotate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	os.WriteFile(path, []byte(`{"half`), 0o600) // what a crash may leave
	l := open(t, Options{Events: path, Rotate: 1 << 20, Keep: 2})
	r := delivered()
	const total = 10000
	for i := range total {
		l.Log(r)
		if i%500 == 0 { // so that several writes are made
			if err := l.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := l.Stats(); s.Events != total || s.EventsDropped != 0 {
		t.Errorf("stats %+v", s)
	}
	old, err := l.file.rotated()
	if err != nil || len(old) != 2 {
		t.Fatalf("rotated files: %v, %v", old, err)
	}
	for _, name := range append(old, path) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			if !json.Valid(line) {
				t.Fatalf("%s has %q", name, line)
			}
		}
		if name != path && len(data) < 1<<20 {
			t.Errorf("%s was rotated at %d octets", name, len(data))
		}
	}
}

// A device is written to and never renamed: root could rename /dev/null away from everybody.
func TestOnlyRegularFilesRotate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	f := &file{}
	f.want.Store(&place{path, 10, 1})
	defer f.close()
	for range 3 {
		if _, err := f.Write([]byte("twenty octets a line\n")); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Fatalf("the pipe was moved away: %v, %v", info, err)
	}
}

func TestTornLineIsEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	os.WriteFile(path, []byte(`{"half`), 0o600)
	l := open(t, Options{Events: path})
	l.Log(delivered())
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(path)
	half, whole, _ := bytes.Cut(data, []byte("\n"))
	if string(half) != `{"half` || !json.Valid(whole) {
		t.Errorf("%q", data)
	}
}

func TestReopenAfterMove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	l := open(t, Options{Events: path})
	l.Log(delivered())
	l.Flush(t.Context())
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	l.Log(delivered())
	l.Flush(t.Context())
	for _, name := range []string{path, path + ".1"} {
		if data, err := os.ReadFile(name); err != nil || bytes.Count(data, []byte("\n")) != 1 {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
}

// TestEventFileFails takes the directory away: mail goes on, the loss is counted and the log lines
// say why.
func TestEventFileFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	os.Mkdir(dir, 0o700)
	var out bytes.Buffer
	l := open(t, Options{Lines: &out, Events: filepath.Join(dir, "events.jsonl")})
	os.RemoveAll(dir)
	l.Reopen()
	l.Log(delivered())
	for range 2 { // the loss is reported with the write after it
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s := l.Stats(); s.EventsDropped != 1 || s.Events != 0 {
		t.Errorf("stats %+v", s)
	}
	if !strings.Contains(out.String(), "error: 1 events were dropped: open ") {
		t.Errorf("log:\n%s", out.String())
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	l := open(t, Options{Lines: io.Discard, Events: os.DevNull, Prefix: true, Host: "mx1",
		Buffer: 64 << 20})
	r := delivered()
	work := func() { l.Queued(testID, r.Sender, 4096, 1); l.Log(r); l.Removed(testID) }
	for range 20000 { // both buffers grow to what they need
		work()
	}
	l.Flush(t.Context())
	if n := testing.AllocsPerRun(1000, work); n >= 1 {
		t.Errorf("%v allocations per message", n)
	}
}

func BenchmarkLog(b *testing.B) {
	r := delivered()
	for name, o := range map[string]Options{
		"text": {Lines: io.Discard, Prefix: true, Host: "mx1"},
		"json": {Lines: io.Discard, JSON: true}, "events": {Events: os.DevNull},
	} {
		b.Run(name, func(b *testing.B) {
			o.Rotate = 1 << 60
			l := open(b, o)
			for range 40000 {
				l.Log(r)
			}
			l.Flush(b.Context())
			b.ReportAllocs()
			for b.Loop() {
				l.Log(r)
			}
			b.ReportMetric(100*float64(l.Stats().LinesDropped+l.Stats().EventsDropped)/float64(b.N),
				"%dropped")
		})
	}
}
