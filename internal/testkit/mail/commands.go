package mail

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// longestVerb is the length of STARTTLS.
const longestVerb = 8

// do obeys one command. It makes no string of it where it can do without.
func (s *session) do(line []byte) {
	verb, args, _ := bytes.Cut(line, []byte(" "))
	var upper [longestVerb]byte
	switch string(upper[:toUpper(&upper, verb)]) {
	case "EHLO":
		s.helo(args, true)
	case "HELO":
		s.helo(args, false)
	case "STARTTLS":
		s.startTLS()
	case "MAIL":
		s.mail(args)
	case "RCPT":
		s.rcpt(args)
	case "DATA":
		s.startData()
	case "BDAT":
		s.startChunk(string(args))
	case "RSET":
		s.reset()
		s.other("250 2.0.0 Ok")
	case "NOOP":
		s.other("250 2.0.0 Ok")
	case "VRFY":
		s.other("252 2.5.0 send it and see")
	case "QUIT":
		s.step.At = AtQuit
		s.answer("221 2.0.0 bye")
	default:
		s.other("500 5.5.1 unknown command")
	}
}

// toUpper puts a verb into upper, in upper case, and returns its length; 0 when it is longer than
// any that we know.
func toUpper(upper *[longestVerb]byte, verb []byte) int {
	if len(verb) > longestVerb {
		return 0
	}
	for i, c := range verb {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper[i] = c
	}
	return len(verb)
}

// proceed does what follows from the answer to a command, just before it is written.
func (s *session) proceed(a Action, reply string) {
	took := reply[0] == '2'
	switch s.step.At {
	case AtStartTLS:
		if took && s.port.TLS != nil && !s.step.TLS {
			s.c.StartTLS(s.port.TLS)
		}
	case AtMail:
		if took {
			s.tx.open, s.tx.d.Sender, s.tx.d.MailArgs, s.tx.d.Started = true, s.from.path,
				s.from.params, time.Now()
		}
	case AtRcpt:
		if took {
			s.recipient()
		}
	case AtData:
		if reply[0] == '3' {
			s.begin()
			s.mode = inData
		}
	case AtEnd:
		if took && !a.Forget {
			s.accept()
		}
		s.reset()
	}
}

func (s *session) other(usual string) {
	s.step.At = AtOther
	s.answer(usual)
}

func (s *session) helo(name []byte, extended bool) {
	s.reset()
	s.step.At, s.step.Helo = AtHelo, string(name)
	usual := "250 " + s.port.Host
	if extended {
		usual = "250-" + s.port.Host + "\r\n" + s.port.ehlo
		if s.port.TLS != nil && !s.step.TLS {
			usual += "250-STARTTLS\r\n"
		}
		usual += "250 HELP"
	}
	s.answer(usual)
}

func (s *session) startTLS() {
	s.step.At = AtStartTLS
	if s.port.TLS == nil || s.step.TLS {
		s.answer("502 5.5.1 no TLS here")
		return
	}
	s.answer("220 2.0.0 go ahead")
}

func (s *session) mail(args []byte) {
	ok := s.from.parse(args, "FROM:")
	s.reset()
	s.step.At, s.step.Sender = AtMail, s.from.path
	usual := "250 2.1.0 Ok"
	switch {
	case !ok:
		usual = "501 5.5.4 MAIL FROM:<address> it should be"
	case s.step.Helo == "":
		usual = "503 5.5.1 EHLO first"
	}
	s.answer(usual)
}

func (s *session) rcpt(args []byte) {
	ok := s.to.parse(args, "TO:")
	s.step.At, s.step.Recipient = AtRcpt, s.to.path
	usual := "250 2.1.5 Ok"
	switch {
	case !s.tx.open:
		usual = "503 5.5.1 MAIL first"
	case !ok || s.to.path == "":
		usual = "501 5.5.4 RCPT TO:<address> it should be"
	}
	s.answer(usual)
}

// recipient takes the recipient that was answered.
func (s *session) recipient() {
	d := &s.tx.d
	d.Recipients = append(d.Recipients, s.to.path)
	if s.to.params != "" || d.RcptArgs != nil {
		for len(d.RcptArgs) < len(d.Recipients)-1 {
			d.RcptArgs = append(d.RcptArgs, "")
		}
		d.RcptArgs = append(d.RcptArgs, s.to.params)
	}
	s.step.Recipients = d.Recipients
}

func (s *session) startData() {
	s.step.At = AtData
	usual := "354 go ahead"
	switch {
	case !s.tx.open:
		usual = "503 5.5.1 MAIL first"
	case len(s.tx.d.Recipients) == 0:
		usual = "554 5.5.1 no valid recipients"
	}
	s.answer(usual)
}

// begin makes ready for content.
func (s *session) begin() {
	s.content.reset(s.sink.o.Keep)
	s.tx.begun = true
}

// startChunk begins a BDAT chunk (RFC 3030 2). Its reply comes after the chunk.
func (s *session) startChunk(args string) {
	size, last, _ := strings.Cut(args, " ")
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || n < 0 || (last != "" && !strings.EqualFold(last, "LAST")) {
		s.over = true // we no longer know where commands begin
		s.reply("501 5.5.4 BDAT size [LAST] it should be")
		s.c.Close()
		return
	}
	if len(s.tx.d.Recipients) == 0 {
		s.tx.open = false
	}
	if s.tx.open && !s.tx.begun {
		s.begin()
		s.step.At = AtData
		a := s.ask()
		s.cutIn = a.CutIn
		if a.refuses() {
			s.refusal = a.Reply
		}
	}
	s.mode, s.chunk, s.last = inChunk, n, last != ""
	if n == 0 {
		s.chunkDone()
	}
}

// argument is that of MAIL or RCPT. The strings of the one before are used again when they are the
// same, which they often are.
type argument struct{ path, params string }

func (a *argument) parse(args []byte, prefix string) bool {
	path, params, ok := parsePath(args, prefix)
	a.path, a.params = same(a.path, path), same(a.params, params)
	return ok
}

// same returns b as a string, which is s when it says the same.
func same(s string, b []byte) string {
	if s == string(b) {
		return s
	}
	return string(b)
}

// parsePath takes a path and what follows it from the argument of MAIL or RCPT. It is generous: the
// sink is no judge of syntax.
func parsePath(args []byte, prefix string) (path, params []byte, ok bool) {
	if len(args) < len(prefix) || !strings.EqualFold(string(args[:len(prefix)]), prefix) {
		return nil, nil, false
	}
	args = bytes.TrimLeft(args[len(prefix):], " ")
	if len(args) == 0 || args[0] != '<' {
		return nil, nil, false
	}
	quoted := false
	for i := 1; i < len(args); i++ {
		switch c := args[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			return args[1:i], bytes.TrimLeft(args[i+1:], " "), true
		}
	}
	return nil, nil, false
}
