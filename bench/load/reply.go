package load

import (
	"bytes"
	"errors"
)

// reply is one SMTP reply (RFC 5321 4.2). Its text is the lines as they came, without the last
// line's end; it is valid as long as the input is.
//
// The server's own parser (internal/smtp) is not used: a fault in it must not hide itself by being
// on both sides.
type reply struct {
	code int
	text []byte
}

// class returns the first digit of the code.
func (r reply) class() int { return r.code / 100 }

// maxReply bounds a reply of all its lines: RFC 5321 4.5.3.1.5 allows 512 octets a line, and an
// EHLO reply has some twenty.
const maxReply = 32 << 10

var (
	errReplySyntax = errors.New("the server sent something that is no SMTP reply")
	errReplySize   = errors.New("the server sent a reply that does not end")
)

// parseReply takes one whole reply off the front of in, and returns how many octets it has; 0 when
// it is not all there yet.
func parseReply(in []byte) (r reply, n int, err error) {
	for n < len(in) {
		eol := bytes.IndexByte(in[n:], '\n')
		if eol < 0 {
			break
		}
		line := bytes.TrimSuffix(in[n:n+eol], []byte{'\r'})
		code, last := parseLine(line)
		if code == 0 || r.code != 0 && code != r.code {
			return r, n, errReplySyntax
		}
		r.code = code
		r.text = in[:n+len(line)]
		if n += eol + 1; n > maxReply {
			return r, n, errReplySize
		}
		if last {
			return r, n, nil
		}
	}
	if len(in) > maxReply {
		return r, 0, errReplySize
	}
	return reply{}, 0, nil
}

// parseLine reads a line's code, 0 when it has none, and whether it is a reply's last.
func parseLine(line []byte) (code int, last bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || line[1]-'0' > 9 || line[2]-'0' > 9 {
		return 0, false
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	switch {
	case len(line) == 3 || line[3] == ' ':
		return code, true
	case line[3] == '-':
		return code, false
	}
	return 0, false
}

// queuedAs comes before the ID in the replies of Postfix, of Postroad and of many others.
var queuedAs = []byte("queued as ")

// queueID returns the ID that a reply tells, if any.
func (r reply) queueID() []byte {
	_, rest, ok := bytes.Cut(r.text, queuedAs)
	if !ok {
		return nil
	}
	end := 0
	for end < len(rest) && rest[end] > ' ' && rest[end] < 0x7f && end < 64 {
		end++
	}
	return rest[:end]
}

// offers are the extensions of a server (RFC 5321 4.1.1.1) that a session uses.
type offers struct {
	pipelining, chunking, size, eightBit, utf8, starttls, plain, login bool
}

// readOffers reads the reply to EHLO.
func readOffers(r reply) (o offers) {
	for line := range bytes.SplitSeq(r.text, []byte{'\n'}) {
		words := bytes.Fields(bytes.ToUpper(line[min(4, len(line)):]))
		if len(words) == 0 {
			continue
		}
		switch string(words[0]) {
		case "PIPELINING":
			o.pipelining = true
		case "CHUNKING":
			o.chunking = true
		case "SIZE":
			o.size = true
		case "8BITMIME":
			o.eightBit = true
		case "SMTPUTF8":
			o.utf8 = true
		case "STARTTLS":
			o.starttls = true
		case "AUTH":
			for _, w := range words[1:] {
				o.plain = o.plain || string(w) == "PLAIN"
				o.login = o.login || string(w) == "LOGIN"
			}
		}
	}
	return o
}
