package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Bodies are real messages, which a load sends in turn.
type Bodies struct {
	bodies []body
	octets int
}

type body struct {
	raw, stuffed []byte // the same slice when there is nothing to stuff
	eightBit     bool
}

// maxBodies bounds what is held in memory.
const maxBodies = 1 << 30

// ErrBodies says that the messages do not fit into memory.
var ErrBodies = errors.New("the messages have more than 1 GiB")

// ReadBodies reads the messages at path: a file with one message, a file in mbox format (it begins
// with "From "), or a directory with such files and directories, such as a Maildir. Lines that end
// in LF alone get CRLF.
func ReadBodies(path string) (*Bodies, error) {
	b := &Bodies{}
	err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() && !(name == path && !d.IsDir()) {
			return err
		}
		if err := b.readFile(name); err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		return nil
	})
	if err == nil && len(b.bodies) == 0 {
		err = fmt.Errorf("there is no message in %s", path)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Len returns how many there are.
func (b *Bodies) Len() int { return len(b.bodies) }

func (b *Bodies) readFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 64<<10)
	if start, _ := in.Peek(len(fromLine)); bytes.Equal(start, fromLine) {
		return b.readMbox(in)
	}
	text, err := io.ReadAll(io.LimitReader(in, maxBodies+1))
	if err != nil {
		return err
	}
	return b.add(text)
}

var fromLine = []byte("From ")

// readMbox reads messages that each have a "From " line before and an empty line behind them. "From
// " lines within are quoted with ">" (the mboxrd form).
func (b *Bodies) readMbox(in *bufio.Reader) error {
	var text []byte
	blank, begun := true, false
	for {
		line, err := in.ReadBytes('\n')
		switch {
		case len(line) == 0:
		case blank && bytes.HasPrefix(line, fromLine):
			if begun {
				if aerr := b.add(trimBlank(text)); aerr != nil {
					return aerr
				}
			}
			begun, text = true, text[:0]
		default:
			if quoted := bytes.TrimLeft(line, ">"); len(quoted) < len(line) &&
				bytes.HasPrefix(quoted, fromLine) {
				line = line[1:]
			}
			if text = append(text, line...); len(text) > maxBodies {
				return ErrBodies
			}
		}
		blank = len(bytes.TrimRight(line, "\r\n")) == 0
		if err == io.EOF {
			return b.add(trimBlank(text))
		}
		if err != nil {
			return err
		}
	}
}

// trimBlank takes off the empty line that belongs to the mbox format.
func trimBlank(text []byte) []byte {
	for _, end := range []string{"\r\n", "\n"} {
		if bytes.HasSuffix(text, []byte("\n"+end)) {
			return text[:len(text)-len(end)]
		}
	}
	return text
}

// add takes a message, with its lines' ends made right: a lone CR or LF would be refused, rightly.
func (b *Bodies) add(text []byte) error {
	raw := withCRLF(text)
	one := body{raw: raw, stuffed: stuff(raw)}
	if len(one.stuffed) == len(raw) {
		one.stuffed = raw
	}
	for _, c := range raw {
		one.eightBit = one.eightBit || c >= 0x80
	}
	if b.octets += len(raw); b.octets > maxBodies {
		return ErrBodies
	}
	b.bodies = append(b.bodies, one)
	return nil
}

// withCRLF returns text with every CR, LF and CRLF made CRLF, one at its end among them.
func withCRLF(text []byte) []byte {
	out := make([]byte, 0, len(text)+len(text)/32+2)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\r' && i+1 < len(text) && text[i+1] == '\n':
		case c == '\r' || c == '\n':
			out = append(out, "\r\n"...)
		default:
			out = append(out, c)
		}
	}
	if !bytes.HasSuffix(out, []byte("\r\n")) {
		out = append(out, "\r\n"...)
	}
	return out
}

// stuff doubles the dot at the beginning of a line (RFC 5321 4.5.2). All line ends of text are
// CRLF.
func stuff(text []byte) []byte {
	out := make([]byte, 0, len(text)+len(text)/256+1)
	for len(text) > 0 {
		if text[0] == '.' {
			out = append(out, '.')
		}
		n := bytes.IndexByte(text, '\n') + 1
		if n == 0 {
			n = len(text)
		}
		out = append(out, text[:n]...)
		text = text[n:]
	}
	return out
}
