package smtpclient

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/postroad/postroad/internal/mail"
)

// Content arrives as it should: stuffed, ended, whole, by each way that it can take.
func TestContent(t *testing.T) {
	long := strings.Repeat("x", 998) + "\r\n"
	for name, in := range map[string]string{
		"plain":        content,
		"empty":        "",
		"dots":         ".\r\n..\r\n.x\r\n\r\n.\r\n",
		"no last CRLF": "a\r\n.b",
		"bare":         "a\nb\rc\n.\nd\r\n.\re\r\n",
		"long":         long,
		"longer":       strings.Repeat("x", 40_000) + "\r\n.x\r\n",
		"large":        strings.Repeat(long, 700),
		"large dots":   strings.Repeat("."+long, 700),
		"8-bit":        "gr\xfc\xdf\r\n",
	} {
		for _, way := range []string{"memory", "store", "parts", "TLS"} {
			t.Run(name+" from "+way, func(t *testing.T) {
				hello := piped
				if way == "TLS" {
					hello = greet +
						"S: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\ntls\nC: EHLO " +
						"client.example\nS: 250-x\nS: 250-PIPELINING\nS: 250 8BITMIME\n"
				}
				o, kept := serve(t, hello+"C: MAIL FROM:<s@example.net>*\n"+cOne+
					"C: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\ndata\nS: 250 ok\n"+cQuit)
				o.TLS = Opportunistic
				tx := newTx("a@example.org")
				tx.Body = mail.Body8BitMIME
				tx.Content = []byte(in)
				if way == "store" {
					tx.Content, tx.Size = nil, int64(len(in))
					tx.Open = func() (io.ReadCloser, error) {
						return io.NopCloser(strings.NewReader(in)), nil
					}
				}
				if way == "parts" {
					tx.Content, tx.Size = nil, int64(len(in))
					tx.Open = func() (io.ReadCloser, error) {
						return &inParts{left: in, size: max(3, len(in)/3)}, nil
					}
				}
				conn := dial(t, o)
				if got := verdict(conn.Deliver(tx)); got != "250 2.0.0 end of mail data" {
					t.Fatal(got)
				}
				conn.Quit()
				got := kept()
				if len(got) != 1 || !bytes.Equal(unstuff(t, got[0]), []byte(repaired(in))) {
					t.Fatalf("received %d octets, sent %d", len(got[0]), len(in))
				}
			})
		}
	}
}

// inParts is a content as the queue gives it: Next hands out parts of one buffer.
type inParts struct {
	left string
	size int
	buf  []byte
}

func (p *inParts) Next() ([]byte, error) {
	if p.left == "" {
		return nil, io.EOF
	}
	n := min(p.size, len(p.left))
	p.buf = append(p.buf[:0], p.left[:n]...)
	p.left = p.left[n:]
	return p.buf, nil
}

func (p *inParts) Read([]byte) (int, error) { panic("a reader with parts is not read otherwise") }

func (p *inParts) Close() error { return nil }

// unstuff is written apart from the code under test, line by line; it fails the test on a bare CR
// or LF.
func unstuff(t *testing.T, wire string) (out []byte) {
	body, ok := strings.CutSuffix(wire, ".\r\n")
	if !ok || body != "" && !strings.HasSuffix(body, "\r\n") {
		t.Fatalf("the end is %q", wire[max(0, len(wire)-10):])
	}
	for line := range strings.SplitAfterSeq(body, "\r\n") {
		text := strings.TrimSuffix(line, "\r\n")
		if strings.ContainsAny(text, "\r\n") {
			t.Fatalf("bare CR or LF in %q", line)
		}
		if text == "." {
			t.Fatal("the end of mail data in the middle")
		}
		out = append(out, strings.TrimPrefix(line, ".")...)
	}
	return out
}

// repaired is what content becomes: bare CR and LF as CRLF, the last line ended.
func repaired(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	if s != "" && !strings.HasSuffix(s, "\n") {
		s += "\n"
	}
	return strings.ReplaceAll(s, "\n", "\r\n")
}

func TestBDAT(t *testing.T) {
	for name, size := range map[string]int{"small": 100, "large": 600_000} {
		for _, store := range []bool{false, true} {
			t.Run(fmt.Sprint(name, store), func(t *testing.T) {
				in := bytes.Repeat([]byte("\x00\r\n.\r\n\n\xff"), size/8)
				binary := greet +
					"S: 250-x\nS: 250-PIPELINING\nS: 250-CHUNKING\nS: 250 BINARYMIME\n"
				o, kept := serve(t, binary+"C: MAIL FROM:<s@example.net> BODY=BINARYMIME\n"+cOne+
					"S: 250 ok\nS: 250 ok\n"+
					fmt.Sprintf("C: BDAT %d LAST\nbdat %d\nS: 250 ok\n", len(in), len(in))+cQuit)
				tx := newTx("a@example.org")
				tx.Body, tx.Content = mail.BodyBinaryMIME, in
				if store {
					tx.Content, tx.Size = nil, int64(len(in))
					tx.Open = func() (io.ReadCloser, error) {
						return io.NopCloser(bytes.NewReader(in)), nil
					}
				}
				conn := dial(t, o)
				if got := verdict(conn.Deliver(tx)); got != "250 2.0.0 end of mail data" {
					t.Fatal(got)
				}
				conn.Quit()
				if got := kept(); len(got) != 1 || got[0] != string(in) {
					t.Fatal("received something else")
				}
			})
		}
	}
}

// A content that cannot be read to its end, or the lease that has ended, leaves the data
// unfinished: the peer gets no end of mail data.
func TestUnfinishedContent(t *testing.T) {
	lease := errors.New("the lease has ended")
	broken := func(n int, err error) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat("line\r\n", n)),
				errReader{err})), nil
		}
	}
	for _, c := range []struct {
		name   string
		change func(*Transaction)
		want   string
	}{
		{"lease", func(tx *Transaction) { tx.BeforeEnd = func() error { return lease } },
			"451 4.3.0 mail data local; dead; aborted"},
		{"large, lease", func(tx *Transaction) {
			tx.Content = bytes.Repeat([]byte("line\r\n"), 100_000)
			tx.BeforeEnd = func() error { return lease }
		}, "451 4.3.0 mail data local; dead; aborted"},
		{"store", func(tx *Transaction) {
			tx.Content, tx.Size, tx.Open = nil, 600_000, broken(90_000, errors.New("checksum"))
		}, "451 4.3.0 mail data local; dead"},
		{"short", func(tx *Transaction) {
			tx.Content, tx.Size, tx.Open = nil, 600_000, broken(99_999, io.EOF)
		}, "451 4.3.0 mail data local; dead"},
		{"too long", func(tx *Transaction) {
			tx.Content, tx.Size, tx.Open = nil, 600_000, broken(100_001, io.EOF)
		}, "451 4.3.0 mail data local; dead"},
		{"not there", func(tx *Transaction) {
			tx.Content, tx.Size = nil, 600_000
			tx.Open = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
		}, "451 4.3.0 mail data local; dead"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, kept := serve(t, piped+cMail+cOne+"C: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\ndata\n")
			tx := newTx("a@example.org")
			c.change(tx)
			conn := dial(t, o)
			if got := verdict(conn.Deliver(tx)); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
			if k := kept(); len(k) != 1 || strings.HasSuffix(k[0], "\r\n.\r\n") {
				t.Errorf("the data was ended")
			}
		})
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// The lease check comes last: everything but the final segment has been written by then.
func TestBeforeEndComesLast(t *testing.T) {
	o, kept := serve(t,
		piped+cMail+cOne+"C: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\ndata\nS: 250 ok\n"+cQuit)
	conn := dial(t, o)
	counted := &countingConn{Conn: conn.raw}
	conn.raw, conn.nc = counted, counted
	tx := newTx("a@example.org")
	tx.Content = bytes.Repeat([]byte("line\r\n"), 150_000)
	var at int
	tx.BeforeEnd = func() error { at = counted.written; return nil }
	conn.Deliver(tx)
	rest := counted.written - at
	if rest <= 0 || rest > segment+len([]byte(".\r\n")) {
		t.Fatalf("%d octets were written after the check", rest)
	}
	conn.Quit()
	kept()
}
