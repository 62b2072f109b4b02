package remote

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/postroad/postroad/mailbox"
)

// Body is a request as it crosses the wire.
func (q *Request) Body() io.Reader {
	b, err := json.Marshal(q)
	if err != nil {
		panic(err) // plain values only
	}
	return bytes.NewReader(b)
}

// ReadReply reads the reply to a request.
func ReadReply(from io.Reader) (r Reply, err error) {
	err = json.NewDecoder(io.LimitReader(from, 64<<20)).Decode(&r)
	return r, err
}

// AppendBatch appends deliveries at the owner of their shard by one command
// (mailbox.Store.AppendBatch).
func AppendBatch(
	ctx context.Context, call Call, shard int, all []*mailbox.Delivery,
) (results [][]mailbox.Result, err error) {
	var body []byte
	for _, d := range all {
		body = append(appendHead(body, shard, d), d.Content.Bytes...)
	}
	err = call(ctx, PathTogether, bytes.NewReader(body), func(from io.Reader) error {
		r := newReader(from)
		if err := numbered(r.octet(), ""); err != nil {
			return err
		}
		for _, d := range all {
			some, err := r.outcome(len(d.Items))
			if err = cmp.Or(err, r.err); err != nil {
				return err
			}
			results = append(results, some)
		}
		return r.err
	})
	if err != nil && number(err) == number(mailbox.ErrUnknown) &&
		!errors.Is(err, mailbox.ErrUnknown) {
		err = fmt.Errorf("%w: %w", mailbox.ErrUnknown, err)
	}
	return results, err
}

// appendPieceHead begins the answer of PathPiece: an error's number, and the size of the message.
// The octets follow.
func appendPieceHead(b []byte, size int64, err error) []byte {
	return binary.AppendUvarint(append(b, number(err)), uint64(size))
}

// ReadPiece reads the answer of PathPiece: the octets of a message from q.At on, up to PieceSize,
// and the size of the message.
func ReadPiece(from io.Reader, q *Request) (piece []byte, size int64, err error) {
	r := newReader(from)
	err = numbered(r.octet(), "")
	size = int64(r.count(maxContent + maxWord))
	if err != nil || r.err != nil {
		return nil, 0, cmp.Or(err, r.err)
	}
	piece = make([]byte, min(max(size-q.At, 0), PieceSize))
	r.fill(piece)
	return piece, size, r.err
}
