package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/term"
)

// Line prints one JSON object as it came, but for the form of what nobody sees.
func (c *Console) Line(raw json.RawMessage) error {
	_, err := fmt.Fprintf(c.Out, "%s\n", seen(raw))
	return err
}

// Object prints a value as a JSON object on a line.
func (c *Console) Object(v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.Line(raw)
}

// seen escapes all characters of a JSON text that nobody sees, such as those that turn the order of
// what follows (U+202E). Outside of ASCII they can only be in strings, whose values stay the same.
func seen(raw []byte) []byte {
	hidden := func(r rune) bool { return r >= utf8.RuneSelf && !unicode.IsPrint(r) || r == 0x7f }
	if bytes.IndexFunc(raw, hidden) < 0 {
		return raw
	}
	var b []byte
	for _, r := range string(raw) {
		switch {
		case !hidden(r):
			b = utf8.AppendRune(b, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, high, low)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
	}
	return b
}

// Each reads the items of a listing and calls fn with them.
func Each[T any](fn func(*T) error) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		one := new(T)
		if err := json.Unmarshal(raw, one); err != nil {
			return err
		}
		return fn(one)
	}
}

// Lines prints what came, one item or those of a listing: as they are with asJSON, else as line
// does it.
func Lines[T any](
	c *Console, asJSON bool, line func(*Console, *T) error,
) func(json.RawMessage) error {
	if asJSON {
		return c.Line
	}
	return Each(func(one *T) error { return line(c, one) })
}

// Paragraph prints lines that others wrote, each clean.
func Paragraph(w io.Writer, text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintln(w, Clean(strings.TrimSuffix(line, "\n")))
	}
}

// Verbatim writes a text as it is, so that it can be used again. On a terminal, which it must not
// steer, only its tabs and line ends are kept.
func Verbatim(w io.Writer, text string) error {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		text = strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) && r != '\t' && r != '\n' {
				return '?'
			}
			return r
		}, strings.ReplaceAll(text, "\r\n", "\n"))
	}
	_, err := io.WriteString(w, text)
	return err
}

// Table prints rows in aligned columns. Cells must be clean.
func Table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if cell == "" {
				row[i] = "-"
			}
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

// Rows prints what is known of one thing, a line each: a name and what it is, unless that is empty.
func (c *Console) Rows(rows [][2]string) error {
	width := 12
	for _, row := range rows {
		if row[1] != "" {
			width = max(width, len(row[0]))
		}
	}
	for _, row := range rows {
		if row[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(c.Out, "%-*s %s\n", width, row[0], Clean(row[1])); err != nil {
			return err
		}
	}
	return nil
}

// Time is a moment as people are told it.
func Time(t time.Time) string { return t.Local().Format(time.RFC3339) }

// Number is a number of things in words: "1 message", "2 messages".
func Number(n int64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.FormatInt(n, 10) + " " + noun
}

// Age is the time since a second of 1970.
func Age(at int64) string { return Short(time.Since(time.Unix(at, 0))) }

// Short is a duration with its largest unit only.
func Short(d time.Duration) string {
	for _, u := range []struct {
		name string
		d    time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}} {
		if d >= 2*u.d {
			return strconv.Itoa(int(d/u.d)) + u.name
		}
	}
	return strconv.Itoa(int(max(d, 0)/time.Second)) + "s"
}

// Clean keeps what strangers wrote from steering the terminal. Several errors in one come on lines.
func Clean(s string) string {
	s = strings.ReplaceAll(s, "\n", "; ")
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// Progress shows on a terminal how far long work is; in a pipe it is quiet.
type Progress struct {
	c     *Console
	what  string
	shown bool
}

// Progress begins to show long work; what says what is done to recipients or messages.
func (c *Console) Progress(what string) *Progress { return &Progress{c: c, what: what} }

// At says how many recipients are done.
func (p *Progress) At(n int64) { p.Say(Number(n, "recipient") + " " + p.what) }

// Messages says how many messages are done, not of each.
func (p *Progress) Messages(n int64) {
	if n%100 == 0 {
		p.Say(Number(n, "message") + " " + p.what)
	}
}

// Say shows a line in place of the last.
func (p *Progress) Say(line string) {
	if f, ok := p.c.Err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprintf(p.c.Err, "\r\x1b[K%s ...", line)
		p.shown = true
	}
}

// End takes the line away.
func (p *Progress) End() {
	if p.shown {
		fmt.Fprint(p.c.Err, "\r\x1b[K")
	}
}
