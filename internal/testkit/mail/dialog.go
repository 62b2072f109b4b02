package mail

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/postroad/postroad/bench/record"
)

// Dialog is one SMTP connection of a sender that decides message by message where to send it, as
// one does that has several servers to choose from. It is used by one goroutine.
type Dialog struct {
	o SendOptions
	c *client // nil once it is lost
}

// Dial opens a session with the server at o.Addr. Of the options it takes those that are about a
// connection.
func Dial(ctx context.Context, o SendOptions) (*Dialog, error) {
	if o.Addr == "" {
		return nil, errors.New("mailtest: Dial needs an address")
	}
	setDefault(&o.Host, "client.example")
	setDefault(&o.Timeout, time.Minute)
	d := &Dialog{o: o}
	var err error
	d.c, err = dial(ctx, &d.o)
	return d, err
}

// Send makes one attempt at a message and returns what the server said. Sent.Err is the reason when
// a recipient was neither accepted nor refused for good.
func (d *Dialog) Send(m *Message) Sent {
	s := Sent{ID: m.ID, Sum: m.Sum, Size: len(m.Content), Attempts: 1}
	start := time.Now()
	rest, err := d.c.transaction(m, m.Recipients, &s)
	if err != nil && !isReply(err) {
		d.c = d.c.drop()
	}
	if len(rest) > 0 || len(s.Unknown) > 0 {
		s.Err = err
	}
	s.Took = time.Since(start)
	return s
}

// Alive reports whether the connection can take another message.
func (d *Dialog) Alive() bool { return d.c != nil }

// Close ends the session, in order when it is alive.
func (d *Dialog) Close() { d.c = d.c.quit() }

// As returns the same message under another ID. A sender that tries again names each try, so that
// every copy that arrives tells which answer it had got.
func (m *Message) As(id string) *Message {
	_, rest, _ := bytes.Cut(m.Content, []byte("\r\n"))
	other := *m
	other.ID = id
	other.Content = append([]byte(Marker+": "+id+"\r\n"), rest...)
	other.Sum = record.SumOf(other.Content)
	return &other
}
