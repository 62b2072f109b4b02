package smtpclient

import (
	"errors"
	"io"

	"github.com/postroad/postroad/internal/message"
)

// convert plans to send the content in 7-bit, to a peer that takes it in no other form (RFC 6152
// section 3, RFC 3030 section 3). Signed content, and what has no 7-bit form, is refused.
func (c *Conn) convert(tx *Transaction, f *form, refusal Status) *Status {
	var unread *Status
	converter, err := message.NewConverter(func(fn func([]byte)) error {
		unread = tx.look(func(p []byte) error { fn(p); return nil })
		if unread != nil {
			return errStop
		}
		return nil
	}, message.ConvertOptions{})
	switch {
	case unread != nil:
		return unread
	case errors.Is(err, message.ErrSigned):
		refusal.Text += ", and its signature does not let it be converted"
		return &refusal
	case err != nil:
		refusal.Text += ", and it cannot be converted"
		return &refusal
	}
	copied := *tx
	copied.Content, copied.Size = nil, converter.Size
	copied.Open = func() (io.ReadCloser, error) {
		source, err := tx.reader()
		if err != nil {
			return nil, err
		}
		return converter.Reader(source), nil
	}
	f.converted = &copied
	return c.fitSize(&copied)
}
