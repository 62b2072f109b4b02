package smtpclient

import (
	"io"
	"strings"
	"testing"

	"github.com/postroad/postroad/internal/mail"
)

// ehlo makes the reply to EHLO with these extensions.
func ehlo(words ...string) string {
	s := greet + "S: 250-mx.example\n"
	for _, w := range words {
		s += "S: 250-" + w + "\n"
	}
	return s + "S: 250 HELP\n"
}

// TestFit: an extension that the peer does not offer is not used. Mail that needs it fails before a
// word is sent, or goes plainly where that is safe.
func TestFit(t *testing.T) {
	const sent = "250 2.0.0 end of mail data"
	deliver := func(mailLine, rcptLine string) string {
		return "C: " + mailLine + "\nS: 250 ok\nC: " + rcptLine +
			"\nS: 250 ok\nC: DATA\nS: 354 go\ndata\nS: 250 ok\n" + cQuit
	}
	plainly := deliver("MAIL FROM:<s@example.net>", "RCPT TO:<a@example.org>")
	wide := []byte("Subject: gr\xc3\xbc\xc3\x9f\r\n\r\nx\r\n")
	wideBody := []byte("Subject: x\r\n\r\ngr\xc3\xbc\xc3\x9f\r\n")
	const signed = "DKIM-Signature: x\r\n\r\n"
	for _, c := range []struct {
		name, script string
		change       func(*Transaction, *Options)
		want         string
	}{
		{"SIZE", ehlo("SIZE 100") + deliver("MAIL FROM:<s@example.net> SIZE=21",
			"RCPT TO:<a@example.org>"), nil, sent},
		{"too large", ehlo("SIZE 20") + cQuit, nil, "552 5.3.4 MAIL FROM local"},
		{"too large from the store", ehlo("SIZE 20") + cQuit, fromStore(content),
			"552 5.3.4 MAIL FROM local"},

		{"8BITMIME", ehlo("8BITMIME") + deliver("MAIL FROM:<s@example.net> BODY=8BITMIME",
			"RCPT TO:<a@example.org>"), body8(wideBody), sent},
		{"8BITMIME not offered", ehlo() + plainly, body8(wideBody), sent},
		{"8BITMIME not offered, 8-bit header", ehlo() + plainly, body8(wide), sent},
		{"8BITMIME not offered, signed", ehlo() + cQuit,
			body8(append([]byte("DKIM-Signature: x\r\n"), wideBody...)), "554 5.6.3 DATA local"},
		{"8BITMIME not offered, nor convertible", ehlo() + cQuit,
			body8([]byte("From: gr\xfc@x\r\n\r\n")), "554 5.6.3 DATA local"},
		{"too large when converted", ehlo("SIZE 40") + cQuit, body8(wideBody),
			"552 5.3.4 MAIL FROM local"},
		{"8BITMIME not offered, unreadable", ehlo() + cQuit, func(tx *Transaction, _ *Options) {
			tx.Body, tx.Content, tx.Size = mail.Body8BitMIME, nil, 100
			tx.Open = readableOnce(string(wideBody))
		}, "451 4.3.0 mail data local"},
		{"8BITMIME not offered nor needed", ehlo() + plainly, body8([]byte(content)), sent},
		{"just send 8", ehlo() + plainly, func(tx *Transaction, o *Options) {
			body8(wideBody)(tx, o)
			o.Send8Bit = true
		}, sent},

		{"binary but text", ehlo() + plainly, asBinary(content), sent},
		{"binary but 8-bit text",
			ehlo("8BITMIME", "CHUNKING",
				"BINARYMIME") + deliver("MAIL FROM:<s@example.net> BODY=8BITMIME",
				"RCPT TO:<a@example.org>"),
			asBinary(string(wideBody)), sent},
		{"binary", ehlo("8BITMIME", "CHUNKING") + cQuit, asBinary(signed + "x\x00y\r\n"),
			"554 5.6.3 DATA local"},
		{"binary by its bare LF", ehlo("8BITMIME") + cQuit, asBinary(signed + "x\ny\r\n"),
			"554 5.6.3 DATA local"},
		{"binary by its bare CR", ehlo("8BITMIME") + cQuit, asBinary(signed + "x\ry\r\n"),
			"554 5.6.3 DATA local"},
		{"binary by its line", ehlo("8BITMIME") + cQuit,
			asBinary(signed + strings.Repeat("x", 999) + "\r\n"), "554 5.6.3 DATA local"},
		{"binary by its end", ehlo("8BITMIME") + cQuit, asBinary(signed + "x"),
			"554 5.6.3 DATA local"},
		{"binary, converted", ehlo("8BITMIME") + plainly, asBinary("A: b\r\n\r\nx\x00y"),
			sent},
		{"binary, 8-bit text, no 8BITMIME", ehlo() + plainly, asBinary(string(wideBody)), sent},

		{"SMTPUTF8", ehlo("SMTPUTF8", "8BITMIME") + deliver("MAIL FROM:<s@example.net> SMTPUTF8",
			"RCPT TO:<gr\u00fc\u00df@example.org>"),
			func(tx *Transaction, _ *Options) {
				tx.SMTPUTF8, tx.Recipients[0].Address = true, "gr\u00fc\u00df@example.org"
			}, sent},
		{"SMTPUTF8 not offered: sender", ehlo() + cQuit,
			func(tx *Transaction, _ *Options) {
				tx.SMTPUTF8, tx.Sender = true,
					"\u00fc@example.net"
			},
			"553 5.6.7 MAIL FROM local"},
		{"SMTPUTF8 not offered: recipient", ehlo() + cQuit,
			func(tx *Transaction, _ *Options) { tx.Recipients[0].Address = "\u00fc@example.net" },
			"553 5.6.7 RCPT TO local"},
		{"SMTPUTF8 not offered: header", ehlo() + cQuit,
			func(tx *Transaction, _ *Options) { tx.SMTPUTF8, tx.Content = true, wide },
			"554 5.6.7 MAIL FROM local"},
		{"SMTPUTF8 not offered: header in the store", ehlo() + cQuit,
			func(tx *Transaction, o *Options) {
				tx.SMTPUTF8 = true
				fromStore(string(wide))(tx, o)
			}, "554 5.6.7 MAIL FROM local"},
		{"SMTPUTF8 not offered nor needed", ehlo() + plainly,
			func(tx *Transaction, _ *Options) { tx.SMTPUTF8, tx.Content = true, wideBody }, sent},
		{"control characters in an address", ehlo() + cQuit,
			func(tx *Transaction, _ *Options) { tx.Recipients[0].Address = "a@b>\r\nRCPT TO:<c@d" },
			"553 5.1.3 RCPT TO local"},
		{"control characters in the sender", ehlo("SMTPUTF8") + cQuit,
			func(tx *Transaction, _ *Options) { tx.Sender = "a\n@b" }, "553 5.1.7 MAIL FROM local"},

		{"DSN", ehlo("DSN") + deliver("MAIL FROM:<s@example.net> RET=HDRS ENVID=a+2Bb+3Dc+20d",
			"RCPT TO:<a@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2By@z"),
			dsn(mail.NotifySuccess|mail.NotifyDelay, "rfc822;x+y@z"), sent},
		{"DSN never",
			ehlo("DSN") + deliver("MAIL FROM:<s@example.net> RET=HDRS ENVID=a+2Bb+3Dc+20d",
				"RCPT TO:<a@example.org> NOTIFY=NEVER"), dsn(mail.NotifyNever, ""), sent},
		{"DSN, wide ORCPT",
			ehlo("DSN") + deliver("MAIL FROM:<s@example.net> RET=HDRS ENVID=a+2Bb+3Dc+20d",
				"RCPT TO:<a@example.org> NOTIFY=FAILURE ORCPT=utf-8;\\x{FC}\\x{2B}@z"),
			dsn(mail.NotifyFailure, "utf-8;\u00fc+@z"), sent},
		{"DSN not offered", ehlo() + plainly, dsn(mail.NotifySuccess, "rfc822;x@z"), sent},
		{"null reverse-path", ehlo() + deliver("MAIL FROM:<>", "RCPT TO:<a@example.org>"),
			func(tx *Transaction, _ *Options) { tx.Sender = "" }, sent},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, kept := serve(t, c.script)
			tx := newTx("a@example.org")
			if c.change != nil {
				c.change(tx, o)
			}
			conn := dial(t, o)
			if got := verdict(conn.Deliver(tx)); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			conn.Quit()
			if k := kept(); c.want == sent && len(k) != 1 {
				t.Errorf("received %q", k)
			}
		})
	}
}

func body8(content []byte) func(*Transaction, *Options) {
	return func(tx *Transaction, _ *Options) { tx.Body, tx.Content = mail.Body8BitMIME, content }
}

func asBinary(content string) func(*Transaction, *Options) {
	return func(tx *Transaction, _ *Options) {
		tx.Body, tx.Content = mail.BodyBinaryMIME, []byte(content)
	}
}

func fromStore(content string) func(*Transaction, *Options) {
	return func(tx *Transaction, _ *Options) {
		tx.Content, tx.Size = nil, int64(len(content))
		tx.Open = func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(content)),
				nil
		}
	}
}

// readableOnce gives a content the first time only.
func readableOnce(content string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		if content == "" {
			return nil, io.ErrUnexpectedEOF
		}
		r := strings.NewReader(content)
		content = ""
		return io.NopCloser(r), nil
	}
}

func dsn(n mail.Notify, orcpt string) func(*Transaction, *Options) {
	return func(tx *Transaction, _ *Options) {
		tx.Ret, tx.EnvelopeID = mail.RetHeaders, "a+b=c d"
		tx.Recipients[0].Notify, tx.Recipients[0].ORcpt = n, orcpt
	}
}

// Those recipients that the peer can take get the message, the others their reason.
func TestOneRecipientNeedsSMTPUTF8(t *testing.T) {
	o, kept := serve(t,
		piped+cMail+cTwo+"C: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\ndata\nS: 250 ok\n"+cQuit)
	conn := dial(t, o)
	tx := two()
	tx.Recipients[0].Address = "\u00fc@example.org"
	if got := verdict(
		conn.Deliver(tx)); got != "553 5.6.7 RCPT TO local; 250 2.0.0 end of mail data" {
		t.Fatal(got)
	}
	conn.Quit()
	kept()
}

// The end of the header is found wherever the blocks of the content are cut.
func TestHeaderEnd(t *testing.T) {
	for text, want := range map[string]bool{
		"A: b\r\nC: d\r\n\r\nbody \xc3\xbc": true, "A: b\nC: d\n\nbody \xc3\xbc": true,
		"\r\nbody \xc3\xbc":               true,
		"A: b\r\nC: \xc3\xbc\r\n\r\nbody": false, "\xc3\xbc": false,
	} {
		for cut := range len(text) + 1 {
			for cut2 := cut; cut2 <= len(text); cut2++ {
				blocks := io.MultiReader(strings.NewReader(text[:cut]),
					strings.NewReader(text[cut:cut2]), strings.NewReader(text[cut2:]))
				tx := &Transaction{Open: func() (io.ReadCloser, error) {
					return io.NopCloser(blocks), nil
				}}
				if got := headerIsASCII(tx) == nil; got != want {
					t.Fatalf("%q cut at %d and %d: %v, want %v", text, cut, cut2, got, want)
				}
			}
		}
	}
}
