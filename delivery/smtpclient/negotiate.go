package smtpclient

import (
	"encoding/binary"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/message"
)

// This file finds how much of a transaction the peer can take, before a word of it is sent.

// form is how a transaction will be sent.
type form struct {
	body string // the BODY parameter, "" for none
	utf8 bool   // the SMTPUTF8 parameter
	bdat bool
	// converted replaces the transaction: its content is 7-bit; nil when it goes as it is.
	converted *Transaction
}

// negotiate decides the form. Recipients that the peer cannot take get their status; a failure for
// all of them is returned.
func (c *Conn) negotiate(tx *Transaction, results []Status) (f form, _ *Status) {
	if s := c.fitSize(tx); s != nil {
		return f, s
	}
	wide, bad := c.fitAddresses(tx, results)
	if bad != nil {
		return f, bad
	}
	f.utf8 = (wide || tx.SMTPUTF8) && c.offers.SMTPUTF8
	if tx.SMTPUTF8 && !f.utf8 {
		if s := headerIsASCII(tx); s != nil {
			return f, s
		}
	}
	return f, c.fitBody(tx, &f)
}

// fitSize judges the size (RFC 1870 section 6.1).
func (c *Conn) fitSize(tx *Transaction) *Status {
	if c.offers.MaxSize <= 0 || tx.size() <= c.offers.MaxSize {
		return nil
	}
	s := ours(StepMail, 552, "5.3.4", "The message is larger than the remote accepts")
	return &s
}

// fitAddresses judges the paths. wide says that one of those left needs SMTPUTF8.
func (c *Conn) fitAddresses(tx *Transaction, results []Status) (wide bool, all *Status) {
	kind := addressKind(tx.Sender)
	if kind == pathBad || kind == pathWide && !c.offers.SMTPUTF8 {
		s := pathStatus(kind, StepMail, "5.1.7", "sender")
		return false, &s
	}
	wide = kind == pathWide
	for i := range tx.Recipients {
		switch kind := addressKind(tx.Recipients[i].Address); {
		case kind == pathBad || kind == pathWide && !c.offers.SMTPUTF8:
			results[i] = pathStatus(kind, StepRcpt, "5.1.3", "recipient")
		case kind == pathWide:
			wide = true
		}
	}
	return wide, nil
}

func pathStatus(kind pathKind, step Step, bad, whose string) Status {
	if kind == pathBad {
		return ours(step, 553, bad,
			"The "+whose+"'s address cannot be sent: it holds control characters")
	}
	// RFC 6531 3.5
	return ours(step, 553, "5.6.7",
		"The "+whose+"'s address needs SMTPUTF8, which the remote does not offer")
}

type pathKind uint8

const (
	pathPlain pathKind = iota
	pathWide           // beyond ASCII
	pathBad            // must not be put on the wire
)

// addressKind is the last guard against an address with a line break: those in the queue were
// parsed.
func addressKind(a string) (k pathKind) {
	for i := 0; i < len(a); i++ {
		switch c := a[i]; {
		case c < ' ' || c == 0x7f:
			return pathBad
		case c >= 0x80:
			k = pathWide
		}
	}
	if k == pathWide && !utf8.ValidString(a) {
		return pathBad
	}
	return k
}

// fitBody finds how the content can go (RFC 6152 section 3, RFC 3030 section 3).
func (c *Conn) fitBody(tx *Transaction, f *form) *Status {
	body := tx.Body
	if body == mail.BodyBinaryMIME {
		var text textScan
		if s := tx.look(text.add); s != nil {
			return s
		}
		switch {
		case text.safe(): // lines of text after all: it can go as such
			body = mail.Body7Bit
			if text.wide {
				body = mail.Body8BitMIME
			}
		case c.offers.BinaryMIME && c.offers.Chunking:
			f.body, f.bdat = "BINARYMIME", true
			return nil
		default:
			s := ours(StepData, 554, "5.6.3",
				"The content is binary, which the remote does not take (BINARYMIME)")
			return c.convert(tx, f, s)
		}
	}
	switch {
	case body != mail.Body8BitMIME:
	case c.offers.EightBitMIME:
		f.body = "8BITMIME"
	case !c.o.Send8Bit:
		return c.fit7Bit(tx, f)
	}
	return nil
}

var errStop = errors.New("seen enough")

// fit7Bit lets content go that is 7-bit after all, and converts other content (RFC 6152 section 3).
func (c *Conn) fit7Bit(tx *Transaction, f *form) *Status {
	wide := false
	if s := tx.look(func(p []byte) error {
		wide = wide || !ascii(p)
		return stopIf(wide)
	}); s != nil || !wide {
		return s
	}
	return c.convert(tx, f, ours(StepData, 554, "5.6.3",
		"The content has 8-bit characters, which the remote does not take (8BITMIME)"))
}

// headerIsASCII allows an internationalized transaction to go plainly when nothing in it is (RFC
// 6531 3.4).
func headerIsASCII(tx *Transaction) *Status {
	var header message.Scanner
	wide := false
	s := tx.look(func(p []byte) error {
		n, done := header.Skip(p)
		wide = wide || !ascii(p[:n])
		return stopIf(wide || done)
	})
	if s != nil || !wide {
		return s
	}
	failed := ours(StepMail, 554, "5.6.7",
		"The header needs SMTPUTF8, which the remote does not offer")
	return &failed
}

func stopIf(stop bool) error {
	if stop {
		return errStop
	}
	return nil
}

// look shows the content to fn, block by block, until fn returns an error.
func (tx *Transaction) look(fn func([]byte) error) *Status {
	if tx.Open == nil || tx.Content != nil {
		fn(tx.Content)
		return nil
	}
	r, err := tx.Open()
	if err != nil {
		return unreadable(err)
	}
	defer r.Close()
	b := blockPool.Get().(*block)
	defer blockPool.Put(b)
	for {
		n, err := r.Read(b.in[:])
		if fn(b.in[:n]) != nil || err == io.EOF {
			return nil
		}
		if err != nil {
			return unreadable(err)
		}
	}
}

func unreadable(err error) *Status {
	s := ours(StepContent, 451, "4.3.0", "The content cannot be read from our store: "+err.Error())
	return &s
}

// ascii reports whether no octet of p has its top bit set.
func ascii(p []byte) bool {
	for ; len(p) >= 8; p = p[8:] {
		if binary.LittleEndian.Uint64(p)&0x8080808080808080 != 0 {
			return false
		}
	}
	for _, c := range p {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// textScan finds out whether binary content is lines of text: no NUL, no CR or LF on its own, no
// line over 998 octets (RFC 2045 2.8).
type textScan struct {
	line   int
	cr     bool
	binary bool
	wide   bool
}

func (t *textScan) add(p []byte) error {
	for _, c := range p {
		if t.cr != (c == '\n') || c == 0 {
			t.binary = true
			return errStop
		}
		t.cr = c == '\r'
		t.wide = t.wide || c >= 0x80
		switch {
		case c == '\n':
			t.line = 0
		case c != '\r':
			t.line++
		}
		if t.line > 998 {
			t.binary = true
			return errStop
		}
	}
	return nil
}

// safe reports whether all was text, its last line ended.
func (t *textScan) safe() bool { return !t.binary && !t.cr && t.line == 0 }
