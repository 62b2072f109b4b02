package mailbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/postroad/postroad/internal/rows"
)

// slot is one proposer: at most one command of it is under way, and they are numbered, so that the
// number and the result of the last one are all that is needed to know a repeated command. A slot
// belongs to one term.
type slot struct {
	number byte
	seq    uint64
}

// begin begins the slot's next command.
func (r *run) begin(l *slot, t commandType) []byte {
	l.seq++
	return appendCommand(
		make([]byte, 0, 256),
		t,
		r.clock.Now().UnixMilli(),
		sender{r.session, l.number, l.seq},
	)
}

func appendCount(b []byte, n int) []byte { return binary.AppendUvarint(b, uint64(n)) }

// proposeSmall takes what waits, for ever.
func (r *run) proposeSmall(l *slot) {
	for {
		t := r.front.takeSmall()
		if t.empty() {
			return
		}
		var b batch
		b.build(&t, r.begin(l, cmdAppend))
		if len(b.deliveries) == 0 && len(t.drops) == 0 {
			continue
		}
		result, err := r.propose(r.ctx, b.data, b.parts)
		r.answer(b.deliveries, result, err)
	}
}

// answer tells each delivery what became of its items.
func (r *run) answer(deliveries []delivery, result any, err error) {
	results, _ := result.(appendResult)
	for _, d := range deliveries {
		if err != nil {
			d.done(nil, err)
			continue
		}
		mine := results[:len(d.Items):len(d.Items)]
		results = results[len(d.Items):]
		if dropsDedupEarly {
			r.dropDedupEarly(d.Items)
		}
		d.done(mine, nil)
	}
}

// proposeLarge sends a large content as chunks first, one at a time, so that no command is large
// and no content is in memory as a whole.
func (r *run) proposeLarge(l *slot) {
	for {
		d, ok := r.front.takeLarge()
		if !ok {
			return
		}
		r.uploads++
		chunks, err := r.proposeChunks(l, r.uploads, &d.Content)
		if err != nil {
			d.done(nil, err)
			continue
		}
		data := appendCount(appendDrops(r.begin(l, cmdAppend), nil), 1)
		data = appendItems(
			appendDelivery(data, d.Content.Size, chunks, r.uploads, len(d.Items)),
			d.Items,
		)
		result, err := r.propose(r.ctx, data, nil)
		r.answer([]delivery{d}, result, err)
	}
}

func (r *run) proposeChunks(l *slot, upload uint64, c *Content) (n uint32, err error) {
	source, err := c.Reader()
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrContent, err)
	}
	defer source.Close()
	for left := c.Size; left > 0; n++ {
		// The group may hold on to the buffer, so each chunk has its own.
		chunk := make([]byte, min(left, partSize))
		if _, err := io.ReadFull(source, chunk); err != nil {
			return n, fmt.Errorf("%w: %w", ErrContent, err)
		}
		result, err := r.propose(
			r.ctx,
			appendChunk(r.begin(l, cmdChunk), upload, n),
			[][]byte{chunk},
		)
		if err == nil {
			err = result.(verbResult).status.err()
		}
		if err != nil {
			return n, err
		}
		left -= int64(len(chunk))
	}
	return n, nil
}

// propose proposes the same octets until the outcome is known (pitfall R4) or ctx ends. An error
// that wraps ErrRefused: nothing happened and nothing will; ErrUnknown: it may have, and may still.
// Of appends ctx is the term's: their unknown outcomes come with its end alone, when what is still
// on its way is kept out by the next epoch. Else a late copy could follow the DropDedupRecords of a
// second try.
func (r *run) propose(ctx context.Context, data []byte, parts [][]byte) (any, error) {
	group := rows.Repeat{To: r.group, Late: tooLate, Again: func() { r.s.repeated.Add(1) }}
	result, _, err := group.Propose(ctx, data, parts)
	return result, err
}

var errOtherOwner = errors.New("another owner has come")

// tooLate tells whether the state machine passed a command over, for it was of an earlier session.
func tooLate(result any) error {
	if _, late := result.(refused); late {
		return errOtherOwner
	}
	return nil
}
