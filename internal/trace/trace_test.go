package trace

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// writeLog writes an event log of many messages, one a second, with three events each, in several
// files; it returns its path and their IDs.
func writeLog(t *testing.T, messages int, rotate int64) (path string, ids []mail.ID) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "events.jsonl")
	l, err := maillog.Open(maillog.Options{Events: path, Rotate: rotate, Node: "mx1",
		Buffer: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	g := mail.NewIDs(1, time.Time{})
	for i := range messages {
		at := start.Add(time.Duration(i) * time.Second)
		id := g.Next(at)
		ids = append(ids, id)
		r := maillog.Record{Type: maillog.Reception, At: at, ID: id,
			Sender: fmt.Sprintf("s%d@example.org", i%3), Recipient: "First@example.net",
			Recipients: 2, Text: "ok"}
		l.Log(&r)
		r.Type, r.Recipient, r.Text = maillog.TransientFailure,
			fmt.Sprintf("r%d@example.net", i%10), `he said ",\"id\":\"" and left`
		l.Log(&r)
		r.Type, r.At = maillog.Delivery, at.Add(100*time.Millisecond)
		l.Log(&r)
		if i%100 == 0 { // so that there are several writes, and files
			if err := l.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	return path, ids
}

func search(t *testing.T, path string, q *Query) (found []string) {
	t.Helper()
	err := Search(t.Context(), path, q, func(e Event) bool {
		var is struct{ Type, ID string }
		if err := json.Unmarshal(e.Line, &is); err != nil || is.ID != e.ID {
			t.Errorf("%s: %v", e.Line, err)
		}
		found = append(found, is.Type+" "+e.ID+" "+e.At.Format("05.000"))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestSearchThroughRotatedFiles(t *testing.T) {
	path, ids := writeLog(t, 2000, 200<<10)
	if old, err := maillog.Rotated(path); err != nil || len(old) < 3 {
		t.Fatalf("rotated files: %v, %v", old, err)
	}
	for _, i := range []int{0, 1, 777, 1999} {
		id, at := ids[i].String(), start.Add(time.Duration(i)*time.Second)
		want := []string{"Delivery " + id + " " + at.Add(100*time.Millisecond).Format("05.000"),
			"TransientFailure " + id + " " + at.Format("05.000"),
			"Reception " + id + " " + at.Format("05.000")}
		if got := search(t, path, &Query{IDs: map[string]bool{id: true}}); !slices.Equal(got,
			want) {
			t.Errorf("message %d: %q, want %q", i, got, want)
		}
		q := &Query{IDs: map[string]bool{id: true}, Recipient: fmt.Sprintf("R%d@EXAMPLE.net", i%10),
			Since: at.Add(-time.Minute)}
		if got := search(t, path, q); !slices.Equal(got, want) {
			t.Errorf("message %d of one recipient: %q, want %q", i, got, want)
		}
		q.Recipient = "other@example.net"
		if got := search(t, path, q); !slices.Equal(got, want[2:]) {
			t.Errorf("message %d of another recipient: %q, want its reception", i, got)
		}
	}
	if got := search(t, path, &Query{}); len(got) != 6000 {
		t.Errorf("all: %d", len(got))
	}
}

func TestSearchByAddressAndTime(t *testing.T) {
	path, _ := writeLog(t, 600, 100<<20)
	for name, c := range map[string]struct {
		q    Query
		want int
	}{
		"recipient":            {Query{Recipient: "R3@example.NET"}, 120},
		"recipient and sender": {Query{Recipient: "r3@example.net", Sender: "s0@example.org"}, 40},
		"first recipient":      {Query{Recipient: "first@example.net"}, 600},
		"since": {Query{Recipient: "r3@example.net",
			Since: start.Add(9 * time.Minute)}, 12},
		"nobody":      {Query{Recipient: "nobody@example.net"}, 0},
		"null sender": {Query{Sender: "<>"}, 0},
	} {
		if got := search(t, path, &c.q); len(got) != c.want {
			t.Errorf("%s: %d events, want %d", name, len(got), c.want)
		}
	}
}

// TestSearchByName: a message by its Message-ID, all of a session, and what was refused.
func TestSearchByName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	l, err := maillog.Open(maillog.Options{Events: path})
	if err != nil {
		t.Fatal(err)
	}
	ids, at := mail.NewIDs(1, time.Time{}), start
	log := func(r maillog.Record) {
		at = at.Add(time.Second)
		r.At, r.Sender = at, "s@example.org"
		if r.Type != maillog.Rejection {
			r.ID = ids.Next(at)
		}
		l.Log(&r)
	}
	log(maillog.Record{Type: maillog.Reception, Recipient: "a@example.net", MessageID: "<m1@x>",
		Session: "s-1"})
	log(maillog.Record{Type: maillog.Rejection, Recipient: "b@example.net", Session: "s-1"})
	log(maillog.Record{Type: maillog.Rejection, Recipient: "a@example.net", MessageID: "<m2@x>",
		Refused: []string{"a@example.net", `"C,\"[d]"@example.net`}, Session: "s-2"})
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	set := func(names ...string) map[string]bool {
		m := map[string]bool{}
		for _, n := range names {
			m[n] = true
		}
		return m
	}
	for name, c := range map[string]struct {
		q    Query
		want string
	}{
		"Message-ID":       {Query{Names: set("m1@x"), Refusals: true}, "1"},
		"of a refused one": {Query{Names: set("m2@x"), Refusals: true}, "3"},
		"session":          {Query{Names: set("s-1"), Refusals: true}, "21"},
		"both":             {Query{Names: set("s-1", "m2@x"), Refusals: true}, "321"},
		"messages only":    {Query{Names: set("s-1", "m2@x")}, "1"},
		"its recipient": {Query{Names: set("s-1"), Recipient: "B@example.net",
			Refusals: true}, "21"},
		"recipient":          {Query{Recipient: "B@example.net", Refusals: true}, "2"},
		"another of several": {Query{Recipient: `"c,\"[d]"@example.net`, Refusals: true}, "3"},
	} {
		got := ""
		if err := Search(t.Context(), path, &c.q, func(e Event) bool {
			got += fmt.Sprint(int(e.At.Sub(start) / time.Second))
			return true
		}); err != nil || got != c.want {
			t.Errorf("%s: %q, want %q; %v", name, got, c.want, err)
		}
	}
}

func TestSearchEndsWhenTold(t *testing.T) {
	path, ids := writeLog(t, 50, 100<<20)
	var got []string
	if err := Search(t.Context(), path, &Query{}, func(e Event) bool {
		got = append(got, e.ID)
		return len(got) < 4
	}); err != nil {
		t.Fatal(err)
	}
	if len(got) != 4 || got[0] != ids[49].String() {
		t.Errorf("the newest four: %v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Search(ctx, path, &Query{}, func(Event) bool {
		return true
	}); err != context.Canceled {
		t.Errorf("interrupted: %v", err)
	}
}

func TestMissingAndTornFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	if got := search(t, path, &Query{}); got != nil {
		t.Errorf("no file: %q", got)
	}
	whole := `{"type":"Bounce","id":"0000000000000001","sender":"\u00e9@x","recipient":"y@z","event_time":"2026-03-01T12:00:00.000Z"}`
	if err := os.WriteFile(path, []byte(whole[:80]+"\n\n"+whole+"\n"+whole[:len(whole)-1]),
		0o600); err != nil {
		t.Fatal(err)
	}
	if got := search(t, path, &Query{Sender: "É@x"}); len(got) != 1 {
		t.Errorf("torn lines: %q", got)
	}
	if err := Search(t.Context(), filepath.Dir(path), &Query{}, nil); err == nil ||
		!strings.Contains(err.Error(), "regular") {
		t.Errorf("a directory: %v", err)
	}
}

// TestBackwardReadsEachLineOnce compares with reading forwards, over lines of all lengths around
// the blocks'.
func TestBackwardReadsEachLineOnce(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 30 {
		var text bytes.Buffer
		var want []string
		for i := range 40 {
			n := []int{0, 1, r.IntN(300), maxLine - r.IntN(3), maxLine + 1,
				blockSize + maxLine + r.IntN(9)}[r.IntN(6)]
			line := strings.Repeat(string(rune('a'+i%26)), n)
			text.WriteString(line)
			if i < 39 || r.IntN(2) == 0 {
				text.WriteByte('\n')
			}
			if n > 0 && n <= maxLine {
				want = append(want, line)
			}
		}
		slices.Reverse(want)
		var got []string
		for b := newBackward(bytes.NewReader(text.Bytes()), int64(text.Len())); ; {
			line, err := b.next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(line))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%d lines, want %d", len(got), len(want))
		}
	}
}

// FuzzSearch: whatever the file holds, what is found is valid JSON and says what was asked for.
func FuzzSearch(f *testing.F) {
	f.Add([]byte(`{"type":"Delivery","id":"0000000000000001","sender":"a@b","recipient":"c@d","event_time":"2026-03-01T12:00:00.000Z"}` + "\n"))
	f.Add([]byte(`{"type":"Reception","id":"x","sender":"","recipient":"\"\\","event_time":"2026-03-01T12:00:00Z"}` + "\n{\n\n"))
	f.Add([]byte(`{"type":"Rejection","sender":"","recipient":"","recipients":["a","c@d"],"message_id":"<m@x>","event_time":"2026-03-01T12:00:00.000Z"}`))
	f.Add([]byte(`,"event_time":"2026-03-01T12:00:00Z","id":"\`))
	path := filepath.Join(f.TempDir(), "events.jsonl")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		err := Search(t.Context(), path, &Query{Since: start.Add(-time.Hour)}, func(e Event) bool {
			if !json.Valid(e.Line) || bytes.ContainsRune(e.Line, '\n') || e.ID == "" ||
				e.At.Before(start.Add(-time.Hour)) {
				t.Errorf("found %q", e.Line)
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		q := &Query{Recipient: "c@d", Names: map[string]bool{"m@x": true}, Refusals: true}
		if err := Search(t.Context(), path, q, func(e Event) bool {
			if !json.Valid(e.Line) || e.ID == "" && !IsRefusal(e.Line) {
				t.Errorf("found by name: %q", e.Line)
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
	})
}
