package router

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/mailbox/remote"
)

// messages checks what an inbox has, as a member sees it.
func (w *world) messages(at uint16, address string, want ...string) {
	w.Helper()
	r := w.member(at)
	box, err := r.Mailbox(w.Context(), address)
	w.ok(err)
	all, err := r.Messages(w.Context(), box.Ref, mailbox.Inbox)
	w.ok(err)
	var got []string
	for _, m := range all {
		in, size, err := r.Open(w.Context(), box.Ref, mailbox.Inbox, m.UID)
		w.ok(err)
		octets, err := io.ReadAll(in)
		w.ok(errors.Join(err, in.Close()))
		if size != m.Size || size != int64(len(octets)) {
			w.Errorf("message %d has %d octets, %d in the list, and %d came",
				m.UID, size, m.Size, len(octets))
		}
		got = append(got, string(octets))
	}
	if !slices.Equal(got, want) {
		w.Errorf("member %d sees %.300q, not %.300q", at, got, want)
	}
}

// TestRead: a message is read from the copy that is here, or piece by piece from its owner.
func TestRead(t *testing.T) {
	play(t, func(w *world) {
		text := strings.Repeat("0123456789abcde\n", 3*remote.PieceSize/16) + "end"
		w.ok(w.member(1).Create(w.Context(), "a@h", mailbox.Settings{}))
		if o := w.append(1, key(1), "a@h", text); o.err != nil {
			t.Fatal(o.err)
		}
		for _, c := range []struct {
			name    string
			at      uint16
			follows bool // the copies have the message
			pieces  int
		}{
			{"owner", 1, false, 0},
			{"copy that has not heard yet", 2, false, 4},
			{"no copy", 9, false, 4},
			{"copy", 2, true, 0},
		} {
			if c.follows {
				w.follow()
			}
			w.were()
			w.messages(c.at, "a@h", text)
			asked := len(w.were())
			if c.at != 1 {
				asked -= 2 // for mailbox and list
			}
			if asked != c.pieces {
				t.Errorf("%s: %d pieces were asked for, not %d", c.name, asked, c.pieces)
			}
		}
	})
}

// TestReadElsewhere: where a message comes from may change while it is read.
func TestReadElsewhere(t *testing.T) {
	play(t, func(w *world) {
		text := strings.Repeat("0123456789abcde\n", 3*remote.PieceSize/16)
		w.ok(w.member(1).Create(w.Context(), "a@h", mailbox.Settings{}))
		if o := w.append(1, key(1), "a@h", text); o.err != nil {
			t.Fatal(o.err)
		}
		r := w.member(2)
		box, err := r.Mailbox(w.Context(), "a@h")
		w.ok(err)
		w.were()
		in, _, err := r.Open(w.Context(), box.Ref, mailbox.Inbox, 1)
		w.ok(err)
		var got strings.Builder
		read := func(n int64, pieces ...uint16) {
			t.Helper()
			_, err := io.CopyN(&got, in, n)
			w.ok(err)
			w.wereAsked(pieces...)
		}
		read(100, 1)
		in.(interface{ Rest() }).Rest()
		read(100, 1) // the same piece again, from here on
		w.leads(3)
		read(remote.PieceSize, 3)
		w.losing(1, remote.PathPiece)
		read(remote.PieceSize, 3, 3)
		w.follow()
		in.(interface{ Rest() }).Rest()
		read(200) // the copy has it now
		w.set(func() { w.members[2].store, w.members[2].rows = nil, nil })
		rest, err := io.ReadAll(in)
		w.ok(errors.Join(err, in.Close()))
		if got.Write(rest); got.String() != text {
			t.Errorf("%d octets came, %d were to come, or other ones", got.Len(), len(text))
		}
		if n, err := in.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("after Close: %d octets, %v", n, err)
		}
	})
}

// TestReadNothing: only the owner knows that something is not there.
func TestReadNothing(t *testing.T) {
	play(t, func(w *world) {
		w.ok(w.member(1).Create(w.Context(), "a@h", mailbox.Settings{}))
		box, err := w.member(1).Mailbox(w.Context(), "a@h")
		w.ok(err)
		for _, at := range []uint16{1, 2, 9} {
			_, _, err = w.member(at).Open(w.Context(), box.Ref, mailbox.Inbox, 5)
			if !errors.Is(err, mailbox.ErrNoMessage) {
				t.Errorf("member %d opens what is not there: %v", at, err)
			}
		}
	})
}
