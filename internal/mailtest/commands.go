package mailtest

import (
	"strconv"
	"strings"
	"time"
)

// do obeys one command.
func (s *session) do(line string) {
	verb, args, _ := strings.Cut(line, " ")
	s.step.Line = line
	switch strings.ToUpper(verb) {
	case "EHLO", "HELO":
		s.helo(strings.ToUpper(verb), args)
	case "STARTTLS":
		s.startTLS()
	case "MAIL":
		s.mail(args)
	case "RCPT":
		s.rcpt(args)
	case "DATA":
		s.startData()
	case "BDAT":
		s.startChunk(args)
	case "RSET":
		s.reset()
		s.other("250 2.0.0 Ok")
	case "NOOP":
		s.other("250 2.0.0 Ok")
	case "VRFY":
		s.other("252 2.5.0 send it and see")
	case "QUIT":
		s.step.At, s.quit = AtQuit, true
		s.answer("221 2.0.0 bye", nil)
	default:
		s.other("500 5.5.1 unknown command")
	}
}

func (s *session) other(usual string) {
	s.step.At = AtOther
	s.answer(usual, nil)
}

func (s *session) helo(verb, name string) {
	s.reset()
	s.step.At, s.step.Helo = AtHelo, name
	usual := "250 " + s.port.Host
	if verb == "EHLO" {
		usual = "250-" + s.port.Host + "\r\n" + s.port.ehlo
		if s.port.TLS != nil && !s.step.TLS {
			usual += "250-STARTTLS\r\n"
		}
		usual += "250 HELP"
	}
	s.answer(usual, nil)
}

func (s *session) startTLS() {
	s.step.At = AtStartTLS
	if s.port.TLS == nil || s.step.TLS {
		s.answer("502 5.5.1 no TLS here", nil)
		return
	}
	s.answer("220 2.0.0 go ahead", func(_ Action, reply string) {
		if reply[0] == '2' {
			s.c.StartTLS(s.port.TLS)
		}
	})
}

func (s *session) mail(args string) {
	path, params, ok := parsePath(args, "FROM:")
	s.reset()
	s.step.At, s.step.Sender = AtMail, path
	usual := "250 2.1.0 Ok"
	switch {
	case !ok:
		usual = "501 5.5.4 MAIL FROM:<address> it should be"
	case s.step.Helo == "":
		usual = "503 5.5.1 EHLO first"
	}
	s.answer(usual, func(_ Action, reply string) {
		if reply[0] == '2' {
			s.tx = transaction{open: true, d: Delivery{Sender: path, MailArgs: params, Connected: s.connected, Started: time.Now()}}
		}
	})
}

func (s *session) rcpt(args string) {
	path, params, ok := parsePath(args, "TO:")
	s.step.At, s.step.Recipient = AtRcpt, path
	usual := "250 2.1.5 Ok"
	switch {
	case !s.tx.open:
		usual = "503 5.5.1 MAIL first"
	case !ok || path == "":
		usual = "501 5.5.4 RCPT TO:<address> it should be"
	}
	s.answer(usual, func(_ Action, reply string) {
		if reply[0] != '2' {
			return
		}
		d := &s.tx.d
		d.Recipients = append(d.Recipients, path)
		if params != "" || d.RcptArgs != nil {
			for len(d.RcptArgs) < len(d.Recipients)-1 {
				d.RcptArgs = append(d.RcptArgs, "")
			}
			d.RcptArgs = append(d.RcptArgs, params)
		}
		s.step.Recipients = d.Recipients
	})
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
	s.answer(usual, func(_ Action, reply string) {
		if reply[0] == '3' {
			s.begin()
			s.mode = inData
		}
	})
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

// parsePath takes a path and what follows it from the argument of MAIL or RCPT. It is generous: the sink is no judge of syntax.
func parsePath(args, prefix string) (path, params string, ok bool) {
	if len(args) < len(prefix) || !strings.EqualFold(args[:len(prefix)], prefix) {
		return "", "", false
	}
	args = strings.TrimLeft(args[len(prefix):], " ")
	if !strings.HasPrefix(args, "<") {
		return "", "", false
	}
	quoted := false
	for i := 1; i < len(args); i++ {
		switch c := args[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			return args[1:i], strings.TrimLeft(args[i+1:], " "), true
		}
	}
	return "", "", false
}
