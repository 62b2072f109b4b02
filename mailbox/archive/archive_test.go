package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/mailbox"
)

// nasty are contents that a format may spoil.
var nasty = []string{
	"", "\n", "\r\n", "\r", "x", "From x\r\n", ">From x\r\n", "a\r\n\r\nFrom b\r\n",
	"a\n\nFrom b\n", "a\r\n>>From b", "a\r\nb\nc\rd\r\n", "a\r", "a\n\r", "a\r\n\r\n\r\n",
	"\n\n\n", "X-Postroad: size=3 lines=crlf\r\n\r\nbody\r\n", "Status: O\r\n\r\n", "\x00\xff\r\n",
	strings.Repeat("long ", 40_000), strings.Repeat("From \r\n", 3000),
}

func sample() (all []*Message) {
	for i, content := range nasty {
		all = append(all, &Message{
			Folder: []string{"INBOX", "Sent", "Work/2026.11 ü/a&b%"}[i%3],
			Flags:  mailbox.Flags(i % 32), Date: time.UnixMilli(1_700_000_000_000 + int64(i)*1001),
			Content: []byte(content),
		})
	}
	return all
}

func same(t *testing.T, got, want *Message) {
	t.Helper()
	if got.Folder != want.Folder || got.Flags != want.Flags || !got.Date.Equal(want.Date) ||
		!bytes.Equal(got.Content, want.Content) {
		t.Fatalf(
			"read %q %v %v %d octets %.80q, want %q %v %v %d octets %.80q",
			got.Folder,
			got.Flags,
			got.Date,
			len(got.Content),
			got.Content,
			want.Folder,
			want.Flags,
			want.Date,
			len(want.Content),
			want.Content,
		)
	}
}

func write(t *testing.T, w Writer, all []*Message) {
	t.Helper()
	for _, m := range all {
		if err := w.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRoundTripOfStreams(t *testing.T) {
	for name, f := range map[string]func(io.Writer) (Writer, func(io.Reader) Reader){
		"mbox": func(w io.Writer) (Writer, func(io.Reader) Reader) {
			return NewMboxWriter(w), func(r io.Reader) Reader { return NewMboxReader(r) }
		},
		"stream": func(w io.Writer) (Writer, func(io.Reader) Reader) {
			return NewStreamWriter(w), func(r io.Reader) Reader { return NewStreamReader(r) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			var file bytes.Buffer
			w, reader := f(&file)
			write(t, w, sample())
			r := reader(&file)
			for _, want := range sample() {
				got, err := r.Next()
				if err != nil {
					t.Fatal(err)
				}
				same(t, got, want)
			}
			if _, err := r.Next(); err != io.EOF {
				t.Fatalf("after the last: %v", err)
			}
		})
	}
}

func TestRoundTripOfMaildir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "md")
	w, err := NewMaildirWriter(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Folder("Empty"); err != nil {
		t.Fatal(err)
	}
	write(t, w, sample())
	if _, err := NewMaildirWriter(dir); err == nil {
		t.Error("a directory that is not empty was taken")
	}
	r, err := NewMaildirReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	r.OnFolder = func(name string) error { folders = append(folders, name); return nil }
	byFolder := map[string][]*Message{}
	for {
		m, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		byFolder[m.Folder] = append(byFolder[m.Folder], m)
	}
	for _, want := range sample() {
		have := byFolder[want.Folder]
		if len(have) == 0 {
			t.Fatalf("%s has too few messages", want.Folder)
		}
		same(t, have[0], want)
		byFolder[want.Folder] = have[1:]
	}
	if want := []string{"INBOX", "Empty", "Sent", "Work/2026.11 ü/a&b%"}; !reflect.DeepEqual(
		folders,
		want,
	) {
		t.Errorf("folders %q, want %q", folders, want)
	}
}

// TestForeign: files of other programs.
func TestForeign(t *testing.T) {
	mbox := "From alice@example.net Sat Nov 28 10:11:12 2026\nStatus: RO\nX-Status: " +
		"AF\nSubject: 1\n\n>From me\n>>From you\n\nFrom bob  Sat Nov 28 10:11:13 2026\nSubject: " +
		"2\n\nno newline"
	r := NewMboxReader(strings.NewReader(mbox))
	for i, want := range []*Message{
		{"INBOX", mailbox.Seen | mailbox.Answered | mailbox.Flagged,
			time.Date(2026, 11, 28, 10, 11, 12, 0, time.UTC),
			[]byte("Status: RO\r\nX-Status: AF\r\nSubject: 1\r\n\r\nFrom me\r\n>From you\r\n")},
		{"INBOX", 0, time.Date(2026, 11, 28, 10, 11, 13, 0, time.UTC),
			[]byte("Subject: 2\r\n\r\nno newline")},
	} {
		got, err := r.Next()
		if err != nil {
			t.Fatal(i, err)
		}
		same(t, got, want)
	}
	if _, err := NewMboxReader(strings.NewReader("Subject: x\n")).Next(); err == nil ||
		err == io.EOF {
		t.Errorf("what is no mbox gave %v", err)
	}
	if _, err := NewMboxReader(strings.NewReader("")).Next(); err != io.EOF {
		t.Errorf("an empty mbox gave %v", err)
	}
	dir := t.TempDir()
	at := time.Date(2026, 11, 28, 1, 2, 3, 0, time.UTC)
	for _, d := range []string{"cur", "new", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "cur", "1700000000.M1P2.host,S=5:2,FS")
	if err := errors.Join(os.WriteFile(file, []byte("a\nb\n"), 0o600),
		os.Chtimes(file, at, at)); err != nil {
		t.Fatal(err)
	}
	md, err := NewMaildirReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := md.Next()
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, &Message{"INBOX", mailbox.Seen | mailbox.Flagged, at, []byte("a\r\nb\r\n")})
}

// TestCutOff: what lacks its end is told from what has it.
func TestCutOff(t *testing.T) {
	var file bytes.Buffer
	write(t, NewStreamWriter(&file), sample()[4:8])
	for n := range file.Len() {
		_, err := Copy(discard{}, NewStreamReader(bytes.NewReader(file.Bytes()[:n])), 0, nil)
		if err == nil {
			t.Fatalf("a stream cut off after %d octets of %d was read to the end", n, file.Len())
		}
	}
	n, err := Copy(discard{}, NewStreamReader(bytes.NewReader(file.Bytes())), 3, nil)
	if n != 4 || err != nil {
		t.Fatal(n, err)
	}
}

type discard struct{}

func (discard) Folder(string) error  { return nil }
func (discard) Write(*Message) error { return nil }
func (discard) Close() error         { return nil }

// FuzzMbox: whatever a message is, it comes back between two others; whatever a file is, it is read
// or refused.
func FuzzMbox(f *testing.F) {
	for _, n := range nasty[:18] {
		f.Add([]byte(n))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		at := time.UnixMilli(1_700_000_000_000)
		all := []*Message{
			{"INBOX", 0, at, []byte("first")},
			{"a/b", mailbox.Draft, at, content},
			{"INBOX", 0, at, []byte("last\r\n")},
		}
		var file bytes.Buffer
		write(t, NewMboxWriter(&file), all)
		r := NewMboxReader(&file)
		for _, want := range all {
			got, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, want)
		}
		for _, r := range []Reader{NewMboxReader(bytes.NewReader(content)),
			NewMboxReader(bytes.NewReader(append([]byte(sep), content...))),
			NewStreamReader(bytes.NewReader(content))} {
			if n, err := Copy(discard{}, r, 0, nil); n > int64(len(content))+1 {
				t.Fatal(fmt.Sprint(n, err))
			}
		}
	})
}
