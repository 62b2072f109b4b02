package maillog

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestJournal: each line is an entry of its own with the name of the part that wrote it; without a
// journal the lines go to standard error, with the name.
func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	l := open(t, Options{Lines: &journal{path: path, instead: &stderr}, Journal: true})
	l.Log(delivered())
	l.Removed(testID)
	l.Errorf("disk full")
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 8<<10)
	for _, want := range []string{
		"MESSAGE=" + string(appendRecord(nil, delivered())) +
			"\nPRIORITY=6\nSYSLOG_IDENTIFIER=postroad/smtp",
		"MESSAGE=" + testID.String() + ": removed\nPRIORITY=6\nSYSLOG_IDENTIFIER=postroad/qmgr",
		"MESSAGE=error: disk full\nPRIORITY=3\nSYSLOG_IDENTIFIER=postroad",
	} {
		n, err := socket.Read(b)
		want += "\nSYSLOG_FACILITY=2\nSYSLOG_PID=" + strconv.Itoa(os.Getpid()) + "\n"
		if got := string(b[:n]); err != nil || got != want {
			t.Errorf("got %q, %v\nwant %q", got, err, want)
		}
	}
	socket.Close()
	l.Removed(testID)
	l.Removed(testID)
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := strings.Repeat("postroad/qmgr: "+testID.String()+": removed\n", 2)
	if stderr.String() != want {
		t.Errorf("without a journal: %q, want %q", stderr.String(), want)
	}
}

// TestUnderJournal: a variable that was inherited says nothing of this process's standard error.
func TestUnderJournal(t *testing.T) {
	t.Setenv("JOURNAL_STREAM", "1:1")
	if UnderJournal() {
		t.Error("the journal reads another file")
	}
}
