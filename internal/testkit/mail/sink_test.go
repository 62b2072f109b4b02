package mail

import (
	"context"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"
)

const patience = 20 * time.Second

func startSink(t testing.TB, o SinkOptions) *Sink {
	t.Helper()
	s, err := StartSink(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// peer is a raw connection to a sink.
type peer struct {
	t *testing.T
	*Talk
}

func connect(t *testing.T, s *Sink) *peer {
	t.Helper()
	talk, err := StartTalk(s.Addr(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { talk.Close() })
	return &peer{t, talk}
}

func (p *peer) script(text string) {
	p.t.Helper()
	if err := p.Play(text); err != nil {
		p.t.Fatal(err)
	}
}

const oneMessage = `
	> MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA
	< 250
	< 250
	< 354
	> X-Test-ID: one\r\n\r\nbody\r\n.
`

func TestSinkDialogue(t *testing.T) {
	s := startSink(t, SinkOptions{Keep: true, Size: 1000})
	connect(t, s).script(`
		< 220 sink.example ESMTP
		> MAIL FROM:<a@x.example>
		< 503
		> EHLO client.example
		< 250 HELP
		> RCPT TO:<b@y.example>
		< 503
		> DATA
		< 503
		> MAIL FROM:<"a>b"@x.example> SIZE=10 RET=HDRS
		< 250
		> DATA
		< 554
		> RCPT TO:<b@y.example>\r\nRCPT TO:<c@y.example> NOTIFY=NEVER\r\nDATA
		< 250
		< 250
		< 354
		> Received: x\r\nX-Test-ID: m1\r\n\r\n..\r\n.
		< 250
		> NOOP
		< 250
		> VRFY x
		< 252
		> WHAT
		< 500
		> MAIL FROM:<>\r\nRCPT TO:<b@y.example>\r\nBDAT 5\r\nX-TesBDAT 12\r\nt-ID: m2\r\n\r\nBDAT 0 LAST
		< 250
		< 250
		< 250
		< 250
		< 250
		> MAIL FROM:<>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n` + strings.Repeat("x", 1001) + `\r\n.
		< 250
		< 250
		< 354
		< 552
		> BDAT 3 LAST\r\nabcNOOP
		< 503
		< 250
		> QUIT
		< 221
	`)
	got := s.Deliveries()
	if len(got) != 2 {
		t.Fatalf("%d deliveries", len(got))
	}
	d := got[0]
	if d.ID != "m1" || d.Sender != `"a>b"@x.example` || d.MailArgs != "SIZE=10 RET=HDRS" ||
		len(d.Recipients) != 2 || d.RcptArgs[1] != "NOTIFY=NEVER" {
		t.Errorf("%+v", d)
	}
	if want := "Received: x\r\nX-Test-ID: m1\r\n\r\n.\r\n"; string(d.Content) != want ||
		d.Size != int64(len(want)) {
		t.Errorf("content %q, size %d", d.Content, d.Size)
	}
	if sum, _ := SumOf(d.Content); sum != d.Sum || d.Started.After(d.Accepted) {
		t.Errorf("hash or times: %+v", d)
	}
	if got[1].ID != "m2" || string(got[1].Content) != "X-Test-ID: m2\r\n\r\n" {
		t.Errorf("%+v", got[1])
	}
	if s.Connects() != 1 || s.MostOpen() != 1 || s.Accepted() != 2 {
		t.Errorf("counts %d %d %d", s.Connects(), s.MostOpen(), s.Accepted())
	}
}

// TestSinkWithout: what is not offered is not offered.
func TestSinkWithout(t *testing.T) {
	s := startSink(t, SinkOptions{Without: []string{"PIPELINING", "SMTPUTF8", "SIZE"}})
	p := connect(t, s)
	p.script("< 220\n> EHLO x")
	text := ""
	for !strings.Contains(text, "250 HELP") {
		line, err := p.In.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		text += line
	}
	if strings.Contains(text, "PIPELINING") || strings.Contains(text, "SIZE") ||
		!strings.Contains(text, "8BITMIME") || strings.Contains(text, "STARTTLS") {
		t.Errorf("offers %q", text)
	}
}

// at makes a hook for one step.
func at(step At, a Action) func(*Step) Action {
	return func(s *Step) Action {
		if s.At == step {
			return a
		}
		return Action{}
	}
}

// TestSinkHook: at each step the sink can refuse, and it can cut the connection.
func TestSinkHook(t *testing.T) {
	s := startSink(t, SinkOptions{})
	for step, script := range map[At]string{
		AtConnect: "< 421 no",
		AtHelo:    "< 220\n> EHLO x\n< 421 no",
		AtMail:    "< 220\n> EHLO x\n< 250\n> MAIL FROM:<>\n< 421 no",
		AtRcpt:    "< 220\n> EHLO x\n< 250\n> MAIL FROM:<>\n< 250\n> RCPT TO:<a@x>\n< 421 no",
		AtData: "< 220\n> EHLO x\n< 250\n> MAIL FROM:<>\n< 250\n> RCPT TO:<a@x>\n< 250\n> " +
			"DATA\n< 421 no",
		AtEnd:   "< 220\n> EHLO x\n< 250" + oneMessage + "< 421 no",
		AtOther: "< 220\n> NOOP\n< 421 no",
		AtQuit:  "< 220\n> QUIT\n< 421 no",
	} {
		s.SetHook(at(step, Action{Reply: "421 no", Close: true}))
		p := connect(t, s)
		p.script(script)
		if _, err := p.In.ReadByte(); err != io.EOF {
			t.Errorf("%v: %v after the reply, want EOF", step, err)
		}
		s.SetHook(at(step, Action{Cut: true}))
		talk, err := StartTalk(s.Addr(), patience)
		if step == AtConnect && errors.Is(err, syscall.ECONNRESET) {
			continue // cut before we knew that we were connected
		} else if err != nil {
			t.Fatal(err)
		}
		p = &peer{t, talk}
		p.script(strings.TrimSuffix(script, "< 421 no"))
		if _, err := p.In.ReadByte(); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v: %v, want the connection cut", step, err)
		}
		talk.Close()
	}
	if s.Accepted() != 0 {
		t.Errorf("%d accepted", s.Accepted())
	}
}

// TestSinkSlow: delays and drips hold back what follows, and end.
func TestSinkSlow(t *testing.T) {
	s := startSink(t, SinkOptions{})
	s.SetHook(func(st *Step) Action {
		switch st.At {
		case AtMail:
			return Action{Delay: 30 * time.Millisecond}
		case AtRcpt:
			return Action{Drip: time.Millisecond, Reply: "250-a\r\n250 b"}
		case AtQuit:
			return Action{Delay: time.Millisecond, Drip: time.Millisecond}
		}
		return Action{}
	})
	p := connect(t, s)
	start := time.Now()
	p.script("< 220\n> EHLO x\n< 250" + oneMessage + "< 250\n> QUIT\n< 221")
	if took := time.Since(start); took < 40*time.Millisecond {
		t.Errorf("took %v", took)
	}
	if _, err := p.In.ReadByte(); err != io.EOF {
		t.Error(err)
	}
}

// TestSinkUntil: an answer waits for an event, and what follows waits with it.
func TestSinkUntil(t *testing.T) {
	now, asked := make(chan struct{}), make(chan struct{})
	s := startSink(t, SinkOptions{})
	s.SetHook(func(st *Step) Action {
		switch st.At {
		case AtEnd:
			close(asked)
			return Action{Until: now, Reply: "450 4.2.0 later"}
		case AtQuit:
			select {
			case <-now:
			default:
				t.Error("QUIT is looked at before the answer that it comes after")
			}
		}
		return Action{}
	})
	p := connect(t, s)
	p.script("< 220\n> EHLO x\n< 250" + strings.TrimRight(oneMessage, "\n") + "\\r\\nQUIT")
	<-asked
	close(now)
	p.script("< 450 4.2.0 later\n< 221")
}

// TestSinkCutIn: the connection ends in the middle of the content.
func TestSinkCutIn(t *testing.T) {
	s := startSink(t, SinkOptions{Hook: at(AtData, Action{CutIn: 100})})
	for _, begin := range []string{"> DATA\n< 354", "> BDAT 1000"} {
		p := connect(t, s)
		p.script("< 220\n> EHLO x\n< 250\n> MAIL FROM:<>\n< 250\n> RCPT TO:<a@x>\n< 250\n" + begin)
		p.script("> " + strings.Repeat("x", 90))
		p.script("> " + strings.Repeat("x", 90))
		if _, err := p.In.ReadByte(); err == nil {
			t.Error("still connected")
		}
	}
}

// TestSinkRefusesChunks: a refusal of the content answers each chunk, and the connection goes on.
func TestSinkRefusesChunks(t *testing.T) {
	s := startSink(t, SinkOptions{Hook: at(AtData, Action{Reply: "452 4.3.1 full"})})
	connect(t, s).script(`
		< 220
		> EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@x>\r\nBDAT 3\r\nabcNOOP
		< 250
		< 250
		< 250
		< 452
		< 250
	`)
}
