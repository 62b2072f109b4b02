package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/record"
	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/message"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// TestCorpora sends every message under the directory POSTROAD_CORPORA, such as a checkout of
// another project's test data, to a remote and to a local recipient. Each that is accepted arrives
// at both octet for octet. Each that is refused is listed with its reply, and must have a bare CR
// or LF, which SMTP cannot carry (RFC 5321 2.3.8), or more Received fields than limits.hops allows.
func TestCorpora(t *testing.T) {
	root := os.Getenv("POSTROAD_CORPORA")
	if root == "" {
		t.Skip("POSTROAD_CORPORA names no directory of messages")
	}
	w := kit.NewWorld(t, 1, mailtest.SinkOptions{Keep: true})
	n := kit.NewNode(t, kit.NodeOptions{DNS: w.DNS.Addr(), Port: w.Port()})
	n.Start()
	user := n.ImportUsers(1)[0]

	c := &corpora{t: t, n: n, to: []string{"r@" + w.Domains[0], user}}
	defer func() { c.d.Close() }()
	if err := filepath.WalkDir(root, c.visit); err != nil {
		t.Fatal(err)
	}
	if len(c.sent) == 0 {
		t.Fatalf("no messages under %s", root)
	}
	stored := map[string][]byte{}
	kit.Eventually(t, 5*time.Minute, func() bool { return n.QueueEmpty() },
		func() string { return n.CLI("queue", "count") + n.Log() })
	for path, content := range n.Mailboxes([]string{user}) {
		stored[path] = content
	}
	for i, d := range w.Sink.Deliveries() {
		stored[fmt.Sprintf("delivery %d", i)] = d.Content
	}
	if wrong := kit.WrongCopies(c.sent, stored); len(wrong) > 0 {
		t.Errorf("%d faults: %.6000s", len(wrong), strings.Join(wrong, "\n"))
	}
	for _, reply := range slices.Sorted(maps.Keys(c.refused)) {
		t.Logf("%d refused: %s\n  %s", len(c.refused[reply]), reply,
			strings.Join(c.refused[reply], "\n  "))
	}
	t.Logf("%d messages of %d files: %d taken, %d refused, %d copies compared",
		c.messages, c.files, len(c.sent), c.messages-len(c.sent), len(stored))
}

// corpora sends what it finds.
type corpora struct {
	t               *testing.T
	n               *kit.Node
	d               *mailtest.Dialog // nil before the first message
	to              []string
	sent            []mailtest.Sent
	refused         map[string][]string // by reply: where
	files, messages int
}

// visit sends the messages of a file, one or those of an mbox.
func (c *corpora) visit(path string, e fs.DirEntry, err error) error {
	if err != nil || !e.Type().IsRegular() {
		return err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	all := messagesOf(content)
	if len(all) > 0 {
		c.files++
	}
	for i, m := range all {
		if err := c.send(fmt.Sprintf("%s#%d", path, i+1), m); err != nil {
			return err
		}
	}
	return nil
}

// send makes one attempt at a message.
func (c *corpora) send(where string, content []byte) (err error) {
	if c.d == nil || !c.d.Alive() {
		o := mailtest.SendOptions{Addr: c.n.Relay}
		if c.d, err = mailtest.Dial(context.Background(), o); err != nil {
			return err
		}
	}
	c.messages++
	m := &mailtest.Message{Sender: "s@client.example", Recipients: c.to,
		ID: fmt.Sprintf("corpora-%d", c.messages)}
	m.Content = append([]byte(mailtest.Marker+": "+m.ID+"\r\n"), content...)
	m.Sum = record.SumOf(m.Content)
	m.EightBit = bytes.ContainsFunc(content, func(r rune) bool { return r > 127 })
	s := c.d.Send(m)
	if s.Err != nil {
		return errors.Join(s.Err, errors.New(where))
	}
	if len(s.Accepted) == len(c.to) {
		c.sent = append(c.sent, s)
		return nil
	}
	if c.refused == nil {
		c.refused = map[string][]string{}
	}
	reply := s.Refused[0].Reply
	c.refused[reply] = append(c.refused[reply], where)
	if len(s.Refused) != len(c.to) || !bare(m.Content) && !travelled(m.Content) {
		c.t.Errorf("%s: refused with %q", where, reply)
	}
	return nil
}

// bare reports whether a CR or LF stands alone.
func bare(content []byte) bool {
	rest := bytes.ReplaceAll(content, []byte("\r\n"), nil)
	return bytes.ContainsAny(rest, "\r\n")
}

// travelled reports whether a message has been through more servers than a loop takes.
func travelled(content []byte) bool {
	n := 0
	for f := range message.Fields(content) {
		if f.Is("Received") {
			n++
		}
	}
	return n > message.MaxReceived
}

var (
	// firstField is how a message begins; separator is the line between those of an mbox.
	firstField = regexp.MustCompile(`\A[!-9;-~]+[ \t]*:`)
	separator  = regexp.MustCompile(`(?m)^From \S+ .*\d\d:\d\d.*\r?\n`)
)

// messagesOf returns the messages of a file, none when it is something else. A file whose lines end
// in LF gets CRLF; one that has both stays as it is.
func messagesOf(content []byte) (all [][]byte) {
	if !bytes.Contains(content, []byte("\r\n")) {
		content = bytes.ReplaceAll(content, []byte("\n"), []byte("\r\n"))
	}
	cuts := separator.FindAllIndex(content, -1)
	parts := [][]byte{content}
	if len(cuts) > 0 && cuts[0][0] == 0 {
		parts = nil
		for i, cut := range cuts {
			end := len(content)
			if i+1 < len(cuts) {
				end = cuts[i+1][0]
			}
			parts = append(parts, content[cut[1]:end])
		}
	}
	for _, p := range parts {
		if !firstField.Match(p) {
			continue
		}
		if !bytes.HasSuffix(p, []byte("\r\n")) {
			p = append(slices.Clip(p), "\r\n"...)
		}
		all = append(all, p)
	}
	return all
}
