package kit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/smtp"
	"strings"
	"testing"
	"time"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// SendFixed sends messages first to first+count-1 over some connections; each must be accepted.
func SendFixed(
	t testing.TB, addr string, gen *mailtest.Generator, first, count, conns int,
) *mailtest.SendReport {
	t.Helper()
	return Send(t, mailtest.SendOptions{Addr: addr, Connections: conns, First: first, Count: count,
		Message: gen.Message, Pipelining: true, Forget: true})
}

// Send sends messages, all of which must be accepted.
func Send(t testing.TB, o mailtest.SendOptions) *mailtest.SendReport {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	report, err := mailtest.Send(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if report.Messages != o.Count {
		t.Fatalf("not all were accepted: %v", report)
	}
	return report
}

// Hello is how a conversation by LMTP begins, as mailtest.Talk.Play takes it.
const Hello = "< 220\n> LHLO client.example\n< 250"

// Play has a conversation with a server, a step in each line (mailtest.Talk.Play).
func Play(t testing.TB, addr string, script ...string) {
	t.Helper()
	talk, err := mailtest.StartTalk(addr, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer talk.Close()
	if err := talk.Play(strings.Join(script, "\n")); err != nil {
		t.Fatal(err)
	}
}

// SendOne sends a message in clear.
func SendOne(t testing.TB, addr, sender, content string, to ...string) {
	t.Helper()
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := errors.Join(Transaction(c, sender, content, to...), c.Quit()); err != nil {
		t.Fatal(err)
	}
}

// Transaction sends a message on a connection.
func Transaction(c *smtp.Client, sender, content string, to ...string) error {
	err := c.Mail(sender)
	for _, r := range to {
		err = errors.Join(err, c.Rcpt(r))
	}
	w, failed := c.Data()
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	_, err = io.WriteString(w, content)
	return errors.Join(err, w.Close())
}

// WrongCopies compares what was stored, by path, with what was sent: each message once for each
// recipient.
func WrongCopies(sent []mailtest.Sent, stored map[string][]byte) (wrong []string) {
	want, got := map[string]mailtest.Sum{}, map[string]int{}
	for i := range sent {
		want[sent[i].ID] = sent[i].Sum
	}
	for path, content := range stored {
		sum, id := mailtest.SumOf(content)
		if want[id] != sum {
			wrong = append(wrong, fmt.Sprintf("%s: message %q is not what was sent", path, id))
		}
		got[id]++
	}
	for i := range sent {
		if s := &sent[i]; got[s.ID] != len(s.Accepted) {
			wrong = append(wrong, fmt.Sprintf("message %s: %d copies stored for %d recipients",
				s.ID, got[s.ID], len(s.Accepted)))
		}
	}
	return wrong
}

// ToUsers makes a generator's messages, from a number on, for users in turn.
func ToUsers(gen *mailtest.Generator, users []string, from int) func(i int) *mailtest.Message {
	return func(i int) *mailtest.Message {
		m := gen.Message(from + i)
		for k := range m.Recipients {
			m.Recipients[k] = users[(from+i+7*k)%len(users)]
		}
		return m
	}
}
