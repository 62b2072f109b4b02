package queue

import (
	"bytes"
	"testing"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// ear notes which message is stored, and how many items the scheduler had heard of by then.
type ear struct {
	b     *bed
	id    mail.ID
	items int
}

func (e *ear) Stored(id mail.ID) {
	e.b.h.mu.Lock()
	defer e.b.h.mu.Unlock()
	e.id, e.items = id, len(e.b.h.items)
}

// TestStored: whoever submits hears of the ID before the scheduler does, and the content has it in
// its place; a content that is too short for it, or that has none, stays as it is.
func TestStored(t *testing.T) {
	b := newBed(t, Options{}).start()
	for name, c := range map[string]struct {
		size int
		at   int64
	}{
		"small": {100, 7}, "at its end": {23, 7}, "too short": {22, 7}, "nowhere": {100, 0},
		"large": {2 << 20, 9}, "its prefix is": {100, 60},
	} {
		text := bytes.Repeat([]byte{'.'}, c.size)
		want := bytes.Clone(text)
		content := contentOf(text)
		content.IDAt = c.at
		if name == "its prefix is" {
			content.IDAt -= 50
			content = mail.Share(content).Behind(text[:50])
			want = append(want, text[:50]...)
		}
		heard := &ear{b: b}
		content.Observer = heard
		before := len(b.h.items)
		got := make(chan answer, 1)
		b.q.Submit(envelope("a@x.example", "b@y.example"), content,
			func(id mail.ID, f *smtp.Failure) { got <- answer{id, f} })
		a := <-got
		if a.fail != nil || heard.id != a.id || heard.items != before {
			t.Errorf("%s: %v; heard of %v when %d items were known, want %v and %d", name, a.fail,
				heard.id, heard.items, a.id, before)
		}
		if c.at > 0 && int(c.at)+mail.IDLen <= len(want) {
			copy(want[c.at:], a.id.String())
		}
		if stored := b.readAll(b.load(a.id).Message); !bytes.Equal(stored, want) {
			t.Errorf("%s: %.80q, want %.80q", name, stored, want)
		}
		if !bytes.Equal(text, bytes.Repeat([]byte{'.'}, c.size)) {
			t.Errorf("%s: the client's octets were changed", name)
		}
	}
}
