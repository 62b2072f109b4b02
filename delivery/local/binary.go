package local

import (
	"errors"
	"io"

	"github.com/postroad/postroad/internal/message"
	"github.com/postroad/postroad/mailbox"
)

// deliverBinary delivers a BINARYMIME message (RFC 3030). POP3 transmits lines (RFC 1939 3), so
// what is no line of text gets an encoding: the octets come out unchanged, and the size in LIST is
// what RETR sends. A message without a form in lines is stored as it is.
func (j *job) deliverBinary() {
	switch err := j.encode(); {
	case err == nil, errors.Is(err, message.ErrNotConvertible):
		j.store.deliver(j)
	default:
		for i := range j.failures {
			j.failures[i] = failStore.With(err)
		}
		j.done(j.failures)
	}
}

// encode replaces the content by its form in lines.
func (j *job) encode() error {
	original := j.content
	block := make([]byte, 16<<10)
	converter, err := message.NewConverter(func(piece func([]byte)) error {
		r, err := original.Reader()
		if err != nil {
			return err
		}
		defer r.Close()
		for {
			n, err := r.Read(block)
			piece(block[:n])
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
		}
	}, message.ConvertOptions{Signed: true, EightBit: true})
	if err != nil {
		return err
	}
	j.content = mailbox.Content{Size: converter.Size}
	if original.Bytes == nil && original.Open != nil {
		j.content.Open = func() (io.ReadCloser, error) {
			r, err := original.Open()
			if err != nil {
				return nil, err
			}
			return converter.Reader(r), nil
		}
		return nil
	}
	j.content.Bytes = converter.Append(make([]byte, 0, converter.Size), original.Bytes)
	j.content.Bytes = converter.Finish(j.content.Bytes)
	return nil
}
