package load

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The scripts in testdata are sessions. Each has a line of options, then what passes: "S:" the
// server says, "C:" the client answers, in one write; "|" is CRLF, {n} the field that identifies
// message n. "=" is what the owner is told, "!" an action, "tls", "drained", "wake", "more N" and
// "cut" are events.

// scripted is the owner of a session, and writes down what it is told.
type scripted struct {
	messages, next int
	endless        bool // there may be more later
	recipients     int
	maker          *maker
	told           []string
}

func (o *scripted) take(int64) *message {
	if o.next >= o.messages {
		return nil
	}
	n := int64(o.next)
	o.next++
	return &message{number: n, rcpts: make([]recipient, o.recipients), content: o.maker.content(n)}
}

func (o *scripted) over() bool { return !o.endless && o.next >= o.messages }

func (o *scripted) ready(int64, offers) { o.told = append(o.told, "ready") }

func (o *scripted) refused(at string, r reply) {
	o.told = append(o.told, fmt.Sprintf("refused at %s: %d", at, r.code))
}

func (o *scripted) ended(_ int64, m *message) {
	text := fmt.Sprintf("%d %s", m.number, m.outcome())
	if len(m.queueID) > 0 && m.outcome() == Accepted {
		text += " as " + string(m.queueID)
	}
	if len(m.rcpts) > 1 {
		for _, r := range m.rcpts {
			text += fmt.Sprintf(", %s %d", r.outcome, r.code)
		}
	}
	o.told = append(o.told, text)
}

// scene is a script being played.
type scene struct {
	t     *testing.T
	owner *scripted
	s     session
	o     output
	now   int64
}

func play(t *testing.T, script string) {
	c := &scene{t: t}
	for i, line := range strings.Split(script, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if c.owner == nil {
			c.start(line)
			continue
		}
		c.now += int64(time.Millisecond)
		if err := c.line(line); err != nil {
			t.Fatalf("line %d: %s: %v", i+1, line, err)
		}
	}
	if c.o.action != actNone || len(c.o.out) > 0 || len(c.owner.told) > 0 {
		t.Errorf("left at the end: action %d, output %q, told %q", c.o.action, c.o.out,
			c.owner.told)
	}
}

func (c *scene) start(line string) {
	o := Options{Addr: "h:25", Connections: 1, Content: Content{Run: "r", Bodies: &Bodies{}}}
	o.Envelope.Sender = "s@a.example"
	c.owner = &scripted{messages: 1, recipients: 1}
	if err := o.Content.Bodies.add([]byte("\n.dot\n")); err != nil {
		c.t.Fatal(err)
	}
	small := false
	for word := range strings.FieldsSeq(line) {
		name, value, _ := strings.Cut(word, "=")
		n := 0
		fmt.Sscan(value, &n)
		switch name {
		case "options":
		case "messages":
			c.owner.messages = n
		case "endless":
			c.owner.endless = true
		case "recipients":
			o.Envelope.Recipients = n
		case "per-connection":
			o.PerConnection = n
		case "message":
			o.Pipelining = PipelineMessage
		case "stream":
			o.Pipelining = PipelineStream
		case "bdat":
			o.Chunking = true
		case "small-chunks":
			small = true
		case "window":
			o.Window = n
		case "starttls":
			o.TLS = TLSStart
		case "user":
			o.Username, o.Password = value, "secret"
		case "utf8":
			o.Envelope.UTF8 = true
		default:
			c.t.Fatalf("option %q", word)
		}
	}
	if err := o.complete(); err != nil {
		c.t.Fatal(err)
	}
	if small { // than options may say
		o.Chunk = 27
	}
	c.owner.recipients = o.Envelope.Recipients
	c.owner.maker = newMaker(&o, time.Time{})
	c.s = session{p: &protocol{o: &o, maker: c.owner.maker}, own: c.owner}
}

func (c *scene) line(line string) error {
	kind, text, _ := strings.Cut(line, " ")
	switch kind {
	case "S:":
		text = strings.ReplaceAll(text, "|", "\r\n") + "\r\n"
		if n := c.s.step(c.now, []byte(text), &c.o); n != len(text) && c.o.action == actNone {
			return fmt.Errorf("only %d of %d octets were taken", n, len(text))
		}
	case "C:":
		for i := range 10 {
			text = strings.ReplaceAll(text, fmt.Sprintf("{%d}", i),
				fmt.Sprintf("X-Test-ID: r-%010d", i))
		}
		if want := strings.ReplaceAll(text, "|", "\r\n") + "\r\n"; string(c.o.out) != want {
			return fmt.Errorf("the client said\n%q", c.o.out)
		}
		c.o.out = c.o.out[:0]
	case "=":
		if len(c.owner.told) == 0 || c.owner.told[0] != text {
			return fmt.Errorf("the owner was told %q", c.owner.told)
		}
		c.owner.told = c.owner.told[1:]
	case "!":
		if want := map[string]action{"tls": actStartTLS, "close": actClose,
			"abort": actAbort}[text]; c.o.action != want {
			return fmt.Errorf("the action is %d", c.o.action)
		}
		c.o.action = actNone
	case "tls":
		c.s.tlsDone(c.now, &c.o)
	case "wake":
		c.s.wake(c.now, &c.o)
	case "more":
		c.owner.messages++
		c.s.wake(c.now, &c.o)
	case "cut":
		c.s.closed(c.now)
	default:
		return errors.New("not a line of a script")
	}
	return nil
}

func TestScripts(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(names) < 5 {
		t.Fatalf("%d scripts: %v", len(names), err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, script := range strings.Split(string(text), "\n---\n") {
			title, _, _ := strings.Cut(strings.TrimSpace(script), "\n")
			t.Run(strings.TrimSuffix(filepath.Base(name), ".txt")+"/"+strings.Trim(title, "# "),
				func(t *testing.T) { play(t, script) })
		}
	}
}
