package maillog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
)

// Lines that the systemd journal reads from standard error have the name of the process: all parts
// of the server would be "postroad". So lines go to the journal's own socket, with the name that
// they have in a file ("postroad/smtp") and as mail, so that a syslog daemon behind the journal
// knows, too.

// journalSocket is where the journal takes datagrams (systemd.journal-fields(7), and
// https://systemd.io/JOURNAL_NATIVE_PROTOCOL/).
const journalSocket = "/run/systemd/journal/socket"

// UnderJournal reports whether standard error is read by the systemd journal, which adds the time,
// the host and the program itself. JOURNAL_STREAM names the file (systemd.exec(5)): a child whose
// standard error is another one may have inherited the variable.
func UnderJournal() bool {
	info, err := os.Stderr.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// Journal returns what writes lines to the systemd journal, for Options.Lines with
// Options.Journal; to instead when the journal does not take them. It is used by one goroutine.
func Journal(instead io.Writer) io.Writer { return &journal{path: journalSocket, instead: instead} }

type journal struct {
	path    string
	instead io.Writer
	conn    net.Conn // nil: not yet, or not any more
	entry   []byte
}

// appendJournalHead appends what tells the journal of a line: its priority (syslog(3)), its
// program, and a zero octet, which no line has in it.
func appendJournalHead(b []byte, component, level string) []byte {
	priority := byte('6')
	if level == "error" {
		priority = '3'
	}
	return append(appendProgram(append(b, priority), component), 0)
}

// mailFacility is what syslog(3) calls LOG_MAIL.
const mailFacility = 2

// Write takes whole lines.
func (j *journal) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		head, words, ok := bytes.Cut(bytes.TrimSuffix(line, []byte{'\n'}), []byte{0})
		if !ok || len(head) == 0 {
			continue
		}
		b := append(append(j.entry[:0], "MESSAGE="...), words...)
		b = append(append(b, "\nPRIORITY="...), head[0])
		b = append(append(b, "\nSYSLOG_IDENTIFIER="...), head[1:]...)
		b = strconv.AppendInt(append(b, "\nSYSLOG_FACILITY="...), mailFacility, 10)
		b = strconv.AppendInt(append(b, "\nSYSLOG_PID="...), int64(os.Getpid()), 10)
		j.entry = append(b, '\n')
		if err := j.send(j.entry); err != nil {
			line := append(append(bytes.Clone(head[1:]), ": "...), words...)
			if _, err := j.instead.Write(append(line, '\n')); err != nil {
				return 0, err
			}
		}
	}
	return len(p), nil
}

// send sends one entry. A journal that was started again has another socket.
func (j *journal) send(entry []byte) (err error) {
	for range 2 {
		if j.conn == nil {
			if j.conn, err = net.Dial("unixgram", j.path); err != nil {
				j.conn = nil
				return err
			}
		}
		if _, err = j.conn.Write(entry); err == nil {
			return nil
		}
		err = errors.Join(err, j.conn.Close())
		j.conn = nil
	}
	return err
}
