package dsn

import (
	"bufio"
	"bytes"
	"fmt"
	"io"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/message"
	"github.com/postroad/postroad/internal/smtp"
)

// This file makes the third part of a report: what is returned of the original. A report is sent
// with the null reverse-path, so that one that its receiver's host cannot take is lost without a
// word. It therefore asks for no more than the original's sender is known to have: without SMTPUTF8
// it is 7-bit as a whole.

// returned is the third part.
type returned struct {
	kind, description string
	encoding          string // "" for that of the report
	content           []byte
}

// returned reads as much of the original as goes back.
func (r *Report) returned(source *bufio.Reader) (returned, error) {
	header, whole, err := message.ReadHeader(source, maxHeader)
	if err != nil {
		return returned{}, fmt.Errorf("reading the header of message %v for its report: %w",
			r.OriginalID, err)
	}
	if !whole || !r.returnsFull() {
		return r.headerOnly(header), nil
	}
	content := append(header[:len(header):len(header)], "\r\n"...)
	rest, err := io.ReadAll(io.LimitReader(source, maxFullAsked))
	if err != nil {
		return returned{}, fmt.Errorf("returning message %v: %w", r.OriginalID, err)
	}
	return r.whole(header, append(content, rest...)), nil
}

// whole returns the message. message/rfc822 allows no encoding (RFC 2046 5.2.1), so the parts of
// an 8-bit message are encoded within it. That breaks its signatures, which nobody checks in a
// returned copy. A message that has no 7-bit form is returned by its header.
func (r *Report) whole(header, content []byte) returned {
	back := returned{kind: "message/rfc822", description: "Undelivered message", content: content}
	switch {
	case r.SMTPUTF8 && !smtp.IsASCII(header): // RFC 6532 3.7 allows all encodings
		back.kind = "message/global"
		return r.encoded(back)
	case r.plain(content):
		return back
	}
	converter, err := message.NewConverter(func(fn func([]byte)) error {
		fn(content)
		return nil
	}, message.ConvertOptions{Signed: true})
	if err == nil {
		back.content = converter.Finish(converter.Append(make([]byte, 0, converter.Size), content))
	}
	if err != nil || !r.plain(back.content) { // a line of the header is too long
		return r.headerOnly(header)
	}
	return back
}

// headerOnly returns the header. RFC 6522 4 allows quoted-printable for one that is not 7-bit, and
// RFC 6533 4 all encodings.
func (r *Report) headerOnly(header []byte) returned {
	back := returned{kind: "text/rfc822-headers", description: "Message header", content: header}
	if r.SMTPUTF8 && !smtp.IsASCII(header) {
		back.kind = "message/global-headers"
	}
	return r.encoded(back)
}

// plain reports whether content can stand in the report as it is.
func (r *Report) plain(content []byte) bool {
	for line := range bytes.Lines(content) {
		if len(line) > smtp.MaxTextLine+len("\r\n") {
			return false
		}
	}
	return r.global() || smtp.IsASCII(content)
}

// encoded encodes a part that cannot stand as it is.
func (r *Report) encoded(back returned) returned {
	if r.plain(back.content) {
		return back
	}
	wide := 0
	for _, c := range back.content {
		wide += int(c >> 7)
	}
	// Then base64 is shorter; what is for text has the one that can be read.
	if wide*6 > len(back.content) && back.kind != "text/rfc822-headers" {
		back.encoding, back.content = "base64", message.AppendBase64(nil, back.content)
	} else {
		back.encoding = "quoted-printable"
		back.content = message.AppendQuotedPrintable(nil, back.content)
	}
	return back
}

// original writes the third part.
func (o *writer) original(back *returned) {
	o.part(back.kind, back.description, back.encoding)
	if o.err == nil {
		_, o.err = o.w.Write(back.content)
	}
}

// returnsFull: RET counts only where a failure is reported; a delay or success report carries the
// header (RFC 3461 4.3).
func (r *Report) returnsFull() bool {
	// binary cannot be nested in a message of lines
	if !r.has(Failed) || r.Body == mail.BodyBinaryMIME {
		return false
	}
	switch r.Ret {
	case mail.RetFull:
		return r.Size <= maxFullAsked
	case mail.RetHeaders:
		return false
	}
	return r.Size <= maxFullUnasked
}
