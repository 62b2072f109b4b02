package smtpclient

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/postroad/postroad/internal/mail"
)

// said is a peer that says one thing after the other, each when the client next reads, and then is
// gone. It keeps what it hears.
type said struct {
	words [][]byte
	heard []byte
}

func (s *said) Read(p []byte) (int, error) {
	for len(s.words) > 0 && len(s.words[0]) == 0 {
		s.words = s.words[1:]
	}
	if len(s.words) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.words[0])
	s.words[0] = s.words[0][n:]
	return n, nil
}

func (s *said) Write(p []byte) (int, error) {
	s.heard = append(s.heard, p...)
	return len(p), nil
}
func (s *said) Close() error                     { return nil }
func (s *said) LocalAddr() net.Addr              { return nil }
func (s *said) RemoteAddr() net.Addr             { return nil }
func (s *said) SetDeadline(time.Time) error      { return nil }
func (s *said) SetReadDeadline(time.Time) error  { return nil }
func (s *said) SetWriteDeadline(time.Time) error { return nil }

func (s *said) dial(context.Context, netip.AddrPort) (net.Conn, error) { return s, nil }

// FuzzPeer lets the peer say anything; "~" parts what comes in one segment from what comes when the
// client reads next.
func FuzzPeer(f *testing.F) {
	const hello = "220 x\r\n~250-x\r\n250-PIPELINING\r\n250 8BITMIME\r\n~"
	f.Add(hello +
		"250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n~250 2.0.0 queued\r\n~250 ok\r\n250 ok\r\n250 " +
		"ok\r\n354 go\r\n~250 ok\r\n~221 bye\r\n")
	f.Add("220 x\r\n~250-x\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250 DSN\r\n~250 ok\r\n~250 " +
		"ok\r\n~250 ok\r\n~250 ok\r\n")
	f.Add("220 x\r\n~502 no\r\n~250 x\r\n~250 ok\r\n~250 ok\r\n~452 4.5.3 no\r\n~354 go\r\n~421 " +
		"bye\r\n")
	f.Add("220-x\r\n220 x\r\n~250-x\r\n250 STARTTLS\r\n~220 go\r\n250 " +
		"injected\r\n~\x15\x03\x03\x00\x02\x02\x28")
	f.Add("220 x\r\n~250-x\r\n250-AUTH LOGIN PLAIN\r\n250-SIZE 5\r\n250 LIMITS " +
		"MAILMAX=1\r\n~235 ok\r\n")
	f.Add(hello + "250 ok\r\n550 no\r\n550 no\r\n354 go\r\n~554 no\r\n~250 ok\r\n")
	f.Add("220 LMTP\r\n~250-x\r\n250 PIPELINING\r\n~250 ok\r\n250 ok\r\n250 ok\r\n354 " +
		"go\r\n~250 a\r\n450 b\r\n~250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n~250 c\r\n")
	f.Add("220 LMTP\r\n~250-x\r\n250-CHUNKING\r\n250 BINARYMIME\r\n~250 ok\r\n~250 ok\r\n~250 " +
		"ok\r\n~554 a\r\n250 b\r\n~250 ok\r\n~250 ok\r\n~250 ok\r\n~250 ok\r\n~421 c\r\n")
	f.Add("421 4.3.2 \x00\xff\x1b[2J\r\n")
	f.Add(hello + "354 go\r\n250 ok\r\n")
	f.Fuzz(func(t *testing.T, words string) {
		s := &said{words: bytes.Split([]byte(words), []byte("~"))}
		o := &Options{Hello: "client.example", ServerName: "mx.example", TLS: Opportunistic,
			Username: "u", Password: "p", AuthInClear: true, Dial: s.dial}
		o.LMTP = strings.Contains(words, "LMTP")
		if !strings.Contains(words, "AUTH") {
			o.Username = ""
		}
		conn, err := Dial(t.Context(), o)
		if err != nil {
			checkStatus(t, &err.Status)
			return
		}
		for _, body := range []mail.BodyType{mail.Body8BitMIME, mail.BodyBinaryMIME} {
			ended := false
			tx := two()
			tx.Body, tx.Content = body, []byte("x: y\r\n\r\n.\r\n\n\xff")
			tx.BeforeEnd = func() error { ended = true; return nil }
			res := conn.Deliver(tx)
			for i := range res.Recipients {
				st := &res.Recipients[i]
				checkStatus(t, st)
				if (st.OK() || st.Unknown) && !ended || st.OK() && st.Command != StepEnd ||
					st.Unknown && !(st.Local && st.Temporary()) {
					t.Fatalf("%+v, end sent: %v", st, ended)
				}
			}
			if conn.Usable() && res.Err != nil || cap(conn.buf2()) > 0 {
				t.Fatalf("usable after %v", res.Err)
			}
		}
		conn.Quit()
	})
}

// buf2 is nil when the connection has given its buffers back.
func (c *Conn) buf2() []byte {
	if c.buf == nil {
		return nil
	}
	return c.buf.in[:]
}

func checkStatus(t *testing.T, s *Status) {
	if s.Code < 200 || s.Code > 599 || s.Code/100 == 3 || s.Enhanced == "" ||
		s.Enhanced[0] != byte('0'+s.Code/100) {
		t.Fatalf("status %+v", s)
	}
	if len(s.Text) > maxText || !utf8.ValidString(s.Text) ||
		strings.ContainsFunc(s.Text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		t.Fatalf("text %q", s.Text)
	}
}

// FuzzContent: any content arrives as it was, bare CR and LF as CRLF, with one end of mail data,
// from memory and from the store.
func FuzzContent(f *testing.F) {
	for _, s := range []string{content, "", ".", "\r\n.\r\n", "a\n.\nb", "a\r.\r", "\r", "x\r\n.",
		strings.Repeat(".\r\n", 9000)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, store := range []bool{false, true} {
			s := &said{words: bytes.Split(
				[]byte("220 x\r\n~250-x\r\n250 PIPELINING\r\n~250 ok\r\n250 ok\r\n354 "+
					"go\r\n~250 ok\r\n"), []byte("~"))}
			conn, err := Dial(t.Context(), &Options{Hello: "c", TLS: Off, Dial: s.dial})
			if err != nil {
				t.Fatal(err)
			}
			tx := newTx("a@example.org")
			tx.Content = in
			if store {
				tx.Content, tx.Size = nil, int64(len(in))
				tx.Open = func() (io.ReadCloser, error) {
					return io.NopCloser(bytes.NewReader(in)),
						nil
				}
			}
			if got := verdict(conn.Deliver(tx)); got != "250 2.0.0 end of mail data" {
				t.Fatal(got)
			}
			_, wire, _ := bytes.Cut(s.heard, []byte("DATA\r\n"))
			if got := unstuff(t, string(wire)); string(got) != repaired(string(in)) {
				t.Fatalf("sent %q for %q", wire, in)
			}
		}
	})
}
