package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/postroad/postroad/mailbox"
)

// TestSeparator: the forms that programs write, and text that begins with "From ".
func TestSeparator(t *testing.T) {
	utc := time.Date(2006, 1, 2, 15, 4, 5, 0, time.UTC)
	for line, want := range map[string]time.Time{
		"From a@b.example Mon Jan  2 15:04:05 2006\n":              utc,
		"From a@b.example Mon Jan  2 15:04:05 2006\r\n":            utc,
		"From a@b.example Mon Jan  2 15:04:05 2006":                utc,
		"From MAILER-DAEMON Mon Jan 02 15:04:05 2006\n":            utc,
		"From - Mon Jan 02 15:04:05 2006\n":                        utc, // Thunderbird
		"From  Mon Jan  2 15:04:05 2006\n":                         utc, // no sender
		"From ???@??? Mon Jan 02 15:04:05 2006\n":                  utc, // Eudora
		"From alice at b.example  Mon Jan  2 15:04:05 2006\n":      utc, // archives of lists
		"From \"Mon Day\"@b.example Mon Jan  2 15:04:05 2006\n":    utc,
		"From a Mon Jan  2 15:04 2006\n":                           utc.Add(-5 * time.Second),
		"From a Mon Jan  2 15:04:05 EST 2006\n":                    utc.Add(5 * time.Hour),
		"From a Mon Jan  2 15:04:05 MET DST 2006\n":                utc.Add(-2 * time.Hour),
		"From a Mon Jan  2 15:04:05 2006 +0130\n":                  utc.Add(-90 * time.Minute),
		"From a Mon Jan  2 15:04:05 2006 (CET)\n":                  utc.Add(-time.Hour),
		"From 15930494870344@xxx Mon Jan 02 15:04:05 +0000 2006\n": utc, // Takeout
		"From a Mon Jan  2 15:04:05 -0800 2006\n":                  utc.Add(8 * time.Hour),
		"From a!b Mon Jan  2 15:04:05 2006 remote from c\n":        utc, // UUCP
		"From a Mon, 2 Jan 2006 15:04:05 +0000\n":                  utc,
		"From a Mon, 02 Jan 2006 15:04:05\n":                       utc,
		"From a mon jan  2 15:04:05 2006\n":                        utc,
		"From a Mon Jan  2 15:04:05 292000000\n":                   {}, // no mail is from then
	} {
		if at, ok := separator([]byte(line)); !ok || !at.Equal(want) {
			t.Errorf("%q: %v %v, want %v", line, at, ok, want)
		}
	}
	for _, line := range []string{
		"From now on use the new form.\n", "From \n", "From", "From x\n", "from a Mon Jan  2",
		"From a Mon Jan  2 15:04:05\n", "From a Mon Jan  2 2006\n", "From Monday to Friday\n",
		"From a Mon Jan  2 15:04:05 2006 we use it\n", "From a Foo Jan  2 15:04:05 2006\n",
		"From a Mon Foo  2 15:04:05 2006\n", "From a Mon Jan 32 15:04:05 2006\n",
		"From a Mon Jan  2 24:04:05 2006\n", "From a Mon Jan  2 15:04:05 2006 remote from\n",
		"From a Mon Jan  2 15:04:05 06\n", "From a Mon Jan  2 15:04:05 2006 +99\n",
		">From a@b.example Mon Jan  2 15:04:05 2006\n", "From: Mon Jan  2 15:04:05 2006\n",
		"From a Mon Jan  0 15:04:05 2006\n", "From a Mon Jan  2 15:04:05 EST\n",
		"From " + strings.Repeat("a", maxSeparator) + " Mon Jan  2 15:04:05 2006\n",
	} {
		if at, ok := separator([]byte(line)); ok {
			t.Errorf("%.80q is taken for a separator of %v", line, at)
		}
	}
}

// sep begins a message of another program.
const sep = "From a@b.example Mon Jan  2 15:04:05 2006\n"

// readAll returns the contents that a reader gives.
func readAll(t *testing.T, r Reader) (contents []string) {
	t.Helper()
	for {
		m, err := r.Next()
		if errors.Is(err, io.EOF) {
			return contents
		}
		if err != nil {
			t.Fatal(err)
		}
		contents = append(contents, string(m.Content))
	}
}

// TestMboxOfOthers: where the messages of other programs begin and end, and what the report tells.
// The contents here have LF, as the file does.
func TestMboxOfOthers(t *testing.T) {
	length := func(n int) string { return "Content-Length: " + strconv.Itoa(n) + "\n\n" }
	const internal = "DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA"
	twoLF := "text\n\n" + sep + "more\n"
	for _, c := range []struct {
		name, file string
		want       []string
		tells      string
	}{
		{"text that begins with From",
			sep + "A: b\n\nSo.\n\nFrom now on use the new form.\n\n" + sep + "C: d\n\nx\n",
			[]string{"A: b\n\nSo.\n\nFrom now on use the new form.\n", "C: d\n\nx\n"}, ""},
		{"the first line of a body", sep + "A: b\n\nFrom now on use the new form.\n",
			[]string{"A: b\n\nFrom now on use the new form.\n"}, ""},
		{"two glued", sep + "A: b\n\nx\n" + sep + "C: d\n\ny\n",
			[]string{"A: b\n\nx\n", "C: d\n\ny\n"},
			"1 message with no empty line before the \"From \" line"},
		{"glued place", sep + "A: b\n\nx\n" + sep + "C: d\n\ny\n",
			[]string{"A: b\n\nx\n", "C: d\n\ny\n"},
			"message 2 at octet " + strconv.Itoa(len(sep)+8)},
		{"glued in a header", sep + "A: b\n" + sep + "C: d\n\ny\n",
			[]string{"A: b\n", "C: d\n\ny\n"}, "1 message with no empty line"},
		{"length over a separator", sep + length(len(twoLF)) + twoLF + "\n" + sep + "C: d\n\ny\n",
			[]string{length(len(twoLF)) + twoLF, "C: d\n\ny\n"}, ""},
		{"length over a separator to the end", sep + length(len(twoLF)) + twoLF,
			[]string{length(len(twoLF)) + twoLF}, ""},
		{"length over one without an empty line before it", sep + length(len(sep)+4) + "x\n" + sep +
			"y\n\n" + sep, []string{length(len(sep)+4) + "x\n" + sep + "y\n", ""}, ""},
		{"nothing is marked where a separator is not", sep + length(len(twoLF)+8) + twoLF +
			">From x\n\n" + sep, []string{length(len(twoLF)+8) + twoLF + ">From x\n", ""}, ""},
		{"length ends right at a separator", sep + length(2) + "x\n" + sep + "C: d\n\ny\n",
			[]string{length(2) + "x\n", "C: d\n\ny\n"}, ""},
		{"length with the empty line", sep + length(3) + "x\n\n" + sep + "C: d\n\ny\n",
			[]string{length(3) + "x\n\n", "C: d\n\ny\n"}, ""},
		{"length 0", sep + length(0) + "\n" + sep + "C: d\n\ny\n",
			[]string{length(0), "C: d\n\ny\n"}, ""},
		{"length without the last line end", sep + length(len(twoLF)-1) + twoLF + "\n" + sep,
			[]string{length(len(twoLF)-1) + twoLF, ""}, ""},
		{"length too large", sep + length(1000) + "text\n\n" + sep + "C: d\n\ny\n",
			[]string{length(1000) + "text\n", "C: d\n\ny\n"}, ""},
		{"length beyond all", sep + length(99999999999) + "text\n\n" + sep + "C: d\n\ny\n",
			[]string{length(99999999999) + "text\n", "C: d\n\ny\n"}, ""},
		{"length into the next message", sep + length(len(twoLF)-2) + twoLF + "\n" + sep + "C: d\n",
			[]string{length(len(twoLF)-2) + "text\n", "more\n", "C: d\n"}, ""},
		{"length too small", sep + length(1) + "text\n\n" + sep + "C: d\n\ny\n",
			[]string{length(1) + "text\n", "C: d\n\ny\n"}, ""},
		{"length is no number", sep + "Content-Length: -5\n\n" + twoLF,
			[]string{"Content-Length: -5\n\ntext\n", "more\n"}, ""},
		{"no date, and a header follows", sep + "A: b\n\nx\n\nFrom c@d.example\nE: f\n\ny\n",
			[]string{"A: b\n\nx\n\nFrom c@d.example\nE: f\n\ny\n"},
			"1 line beginning with \"From \" and without a date"},
		{"deleted in Thunderbird", sep + "X-Mozilla-Status: 0009\nA: b\n\nx\n\n" + sep +
			"X-Mozilla-Status: 0001\nC: d\n\ny\n\n" + sep + "X-Mozilla-Status: zz\nE: f\n\nz\n",
			[]string{"X-Mozilla-Status: 0001\nC: d\n\ny\n", "X-Mozilla-Status: zz\nE: f\n\nz\n"},
			"1 message left out: deleted in Thunderbird"},
		{"internal data of UW-IMAP",
			sep + "From: Mail System Internal Data <M@b.example>\nSubject: " + internal + "\n" +
				"X-IMAP: 1136214245 0000000001\nStatus: RO\n\nThis text is part of the internal " +
				"format of your mail folder.\n\n" + sep + "C: d\n\ny\n",
			[]string{"C: d\n\ny\n"}, "1 message left out: internal data of UW-IMAP"},
		{"UIDs in a message", sep + "X-IMAPbase: 1136214245 0000000001\nSubject: x\n\ny\n",
			[]string{"X-IMAPbase: 1136214245 0000000001\nSubject: x\n\ny\n"}, ""},
		{"a message about that", sep + "Subject: " + internal + "\n\n",
			[]string{"Subject: " + internal + "\n"}, ""},
		{"internal data in the middle", sep + "A: b\n\n\n" + sep + "Subject: " + internal +
			"\nX-IMAPbase: 1 1\n\n\n",
			[]string{"A: b\n\n", "Subject: " + internal + "\nX-IMAPbase: 1 1\n\n"}, ""},
		{"X-UIDL is a field as any", sep + "X-UIDL: abc123\nA: b\n\nx\n",
			[]string{"X-UIDL: abc123\nA: b\n\nx\n"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := NewMboxReader(iotest.OneByteReader(strings.NewReader(c.file)))
			got := readAll(t, r)
			for i := range got {
				got[i] = strings.ReplaceAll(got[i], "\r\n", "\n")
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("read %q, want %q", got, c.want)
			}
			tells := strings.Join(r.Report().Lines(), "\n")
			if !strings.Contains(tells, c.tells) || (c.tells == "") != (tells == "") {
				t.Errorf("the report is %q, want %q", tells, c.tells)
			}
			if n := r.Report().Refused(); n > 0 {
				t.Errorf("%d refused", n)
			}
		})
	}
}

// TestMboxOfOthersCRLF: a file with CRLF at the end of all lines.
func TestMboxOfOthersCRLF(t *testing.T) {
	crlf := func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
	body := crlf("text\n\n" + sep + "more\n")
	first := crlf(fmt.Sprintf("Content-Length: %d\n\n", len(body))) + body
	file := crlf(sep) + first + crlf("\n"+sep+"C: d\n\nFrom now on\n\n"+sep+"E: f\n")
	r := NewMboxReader(strings.NewReader(file))
	equal(t, "messages", readAll(t, r),
		[]string{first, "C: d\r\n\r\nFrom now on\r\n", "E: f\r\n"})
	if lines := r.Report().Lines(); lines != nil {
		t.Errorf("the report is %q", lines)
	}
}

// TestOursIsExact: what other programs mean with fields and lines has no meaning in our own files.
func TestOursIsExact(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_000)
	var all []*Message
	for _, content := range []string{
		"Content-Length: 3\r\n\r\nabc\r\n\r\n" + sep + "\r\n",
		"Content-Length: 500\r\n\r\nx\r\n", "X-Mozilla-Status: 0008\r\n\r\nx\r\n", sep, sep + sep,
		"X-IMAP: 1 1\r\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\r\n\r\nx\r\n",
		"A: b\r\n\r\nx\r\n" + sep + "C: d\r\n", "\r\n\r\nFrom c@d.example\r\nE: f\r\n",
	} {
		all = append(all, &Message{"INBOX", 0, at, []byte(content)})
	}
	all = append(all, &Message{"INBOX", mailbox.Seen, time.UnixMilli(1 << 60), []byte("late\r\n")},
		&Message{"INBOX", 0, time.UnixMilli(-1 << 60), []byte("early\r\n")},
		&Message{"INBOX", 0, time.UnixMilli(-62_135_596_800_000), []byte("year 1\r\n")})
	var file bytes.Buffer
	write(t, NewMboxWriter(&file), all)
	r := NewMboxReader(&file)
	for _, want := range all {
		got, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, want)
	}
	if _, err := r.Next(); err != io.EOF || r.Report().Lines() != nil {
		t.Errorf("%v, %q", err, r.Report().Lines())
	}
}

// TestLengthInOurs: a message of ours came with a Content-Length that points, in the file, exactly
// at the end of the next message.
func TestLengthInOurs(t *testing.T) {
	const field = "Content-Length: 000\n\n"
	message := func(content string) *Message {
		return &Message{"INBOX", 0, time.UnixMilli(1_700_000_000_000), []byte(content)}
	}
	var file bytes.Buffer
	write(t, NewMboxWriter(&file), []*Message{message(strings.ReplaceAll(field, "\n", "\r\n") +
		"x\r\n"), message("A: b\r\n"), message("C: d\r\n")})
	_, body, _ := strings.Cut(file.String(), field)
	length := fmt.Sprintf("%03d", strings.LastIndex(body, "From MAILER-DAEMON"))
	text := strings.Replace(file.String(), "000\n\n", length+"\n\n", 1)
	r := NewMboxReader(strings.NewReader(text))
	equal(t, "messages", readAll(t, r),
		[]string{"Content-Length: " + length + "\r\n\r\nx\r\n", "A: b\r\n", "C: d\r\n"})
}

// TestOldExportsOfLateDates: earlier versions wrote years of more than four digits.
func TestOldExportsOfLateDates(t *testing.T) {
	file := "From MAILER-DAEMON Sun Jan  2 15:04:05 20060\n" +
		"X-Postroad: size=3 date=570964741445000 flags=- lines=crlf folder=INBOX\n" +
		"Status: O\nX-Status: \na\n\n"
	m, err := NewMboxReader(strings.NewReader(file)).Next()
	if err != nil {
		t.Fatal(err)
	}
	same(t, m, &Message{"INBOX", 0, time.UnixMilli(570964741445000), []byte("a\r\n")})
}

// TestNoMbox: a file that is none says why.
func TestNoMbox(t *testing.T) {
	for file, says := range map[string]string{
		"From alice@example.net\nA: b\n\nx\n": `"From alice@example.net" has no date`,
		"\x1f\x8b\x08\x00more":                "with gzip; unpack it first (gzip -dc FILE)",
		"\xfd7zXZ\x00more":                    "compressed with xz",
		"Subject: x\n":                        "does not begin with a line",
	} {
		r := NewMboxReader(strings.NewReader(file))
		if _, err := r.Next(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", file, err, says)
		}
	}
	bad := errors.New("disk")
	r := NewMboxReader(io.MultiReader(strings.NewReader(sep+"A: b\n\nx\n"), iotest.ErrReader(bad)))
	if _, err := r.Next(); !errors.Is(err, bad) {
		t.Errorf("a file that cannot be read gave %v", err)
	}
}

// TestReportIsBounded: a report names the first places and counts the others.
func TestReportIsBounded(t *testing.T) {
	file := strings.Repeat(sep+"A: b\n\nx\n", 101)
	r := NewMboxReader(strings.NewReader(file))
	if n := len(readAll(t, r)); n != 101 {
		t.Fatal(n)
	}
	lines := r.Report().Lines()
	if len(lines) != 1 || !strings.HasPrefix(lines[0], "100 messages with no empty line") ||
		!strings.HasSuffix(lines[0], "message 11 at octet 500 and 90 more") ||
		strings.Count(lines[0], "octet") != maxPlaces {
		t.Errorf("%q", lines)
	}
}

// TestWindow: lines and what is ahead, whatever a reader gives at once.
func TestWindow(t *testing.T) {
	text := strings.Repeat("x", maxPiece+5) + "\n" + strings.Repeat("line\n", 50_000) + "end"
	for name, r := range map[string]io.Reader{"whole": strings.NewReader(text),
		"halves":       iotest.HalfReader(strings.NewReader(text)),
		"data and end": iotest.DataErrReader(strings.NewReader(text))} {
		w := window{r: r}
		var got strings.Builder
		for i := 0; ; i++ {
			if i%1000 == 0 {
				data, err := w.ahead(10_000)
				if err != nil || len(data) < min(10_000, len(text)-got.Len()) {
					t.Fatal(name, len(data), err)
				}
			}
			line, err := w.line()
			if err != nil {
				t.Fatal(name, err)
			}
			if len(line) == 0 {
				break
			}
			got.Write(line)
			w.take(len(line))
		}
		if got.String() != text || w.taken != int64(len(text)) {
			t.Errorf("%s: %d octets of %d, taken %d", name, got.Len(), len(text), w.taken)
		}
		if cap(w.buf) > 16*windowStep {
			t.Errorf("%s: a window of %d octets for lines", name, cap(w.buf))
		}
	}
}

// FuzzMboxOfOthers: a message that is written as mboxrd comes back whatever Content-Length it has,
// unless that points at the end of the file. Any file is read to its end, with no octet twice.
func FuzzMboxOfOthers(f *testing.F) {
	f.Add([]byte("text\n\nFrom now on\n"), 3)
	f.Add([]byte("x\n"+sep+"y\n"), 50)
	f.Add([]byte("From x\n>From y\n\n\n"), 0)
	f.Add([]byte(sep+"Content-Length: 60\n\na\n\n"+sep+"b\n\n"+sep), 60)
	f.Add([]byte("X-Mozilla-Status: 0008\n\n"+sep+"\r\n"), -1)
	f.Fuzz(func(t *testing.T, body []byte, length int) {
		r := NewMboxReader(bytes.NewReader(append([]byte(sep), body...)))
		octets := 0
		n, err := Copy(counter{&octets}, r, 0, nil)
		if lfs := bytes.Count(body, []byte("\n")); octets > len(body)+lfs || int(n) > lfs+1 {
			t.Fatalf("%d octets in %d messages of %d octets (%v)", octets, n, len(body), err)
		}
		if _, ok := separator(body); ok && !bytes.HasPrefix(body, fromWord) {
			t.Fatal("a separator without From")
		}
		body = bytes.ReplaceAll(body, []byte("\r"), nil)
		var file bytes.Buffer
		fmt.Fprintf(&file, "%sContent-Length: %d\n\n", sep, length)
		for line := range bytes.Lines(body) {
			if bytes.HasPrefix(bytes.TrimLeft(line, ">"), fromWord) {
				file.WriteByte('>')
			}
			file.Write(line)
		}
		file.WriteString("\n\n" + sep + "last\n")
		_, rest, _ := bytes.Cut(file.Bytes(), []byte("\n\n"))
		if length == len(rest) || length == len(rest)-1 {
			return
		}
		r = NewMboxReader(&file)
		all := readAll(t, r)
		if len(all) != 2 || all[1] != "last\r\n" || r.Report().Lines() != nil &&
			!strings.Contains(r.Report().Lines()[0], "without a date") {
			t.Fatalf("%q, %q", all, r.Report().Lines())
		}
		_, got, _ := strings.Cut(strings.ReplaceAll(all[0], "\r\n", "\n"), "\n\n")
		if strings.TrimRight(got, "\n") != strings.TrimRight(string(body), "\n") {
			t.Fatalf("%q of %q", got, body)
		}
	})
}

// counter counts octets.
type counter struct{ octets *int }

func (counter) Folder(string) error { return nil }
func (c counter) Write(m *Message) error {
	*c.octets += len(m.Content)
	return nil
}
func (counter) Close() error { return nil }
