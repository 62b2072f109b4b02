package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/postroad/postroad/internal/fifo"
	"github.com/postroad/postroad/mailbox"
)

// Bounds of what is under way to one member.
const (
	pendingBytes = 32 << 20 // octets of contents that wait
	pendingItems = 10_000
	batchBytes   = 1 << 20 // octets of one request, unless a single content has more
	batchMost    = 500     // deliveries of one request
	smallSize    = 256 << 10
	smallLanes   = 4 // requests with batches at once
	largeLanes   = 2 // requests with one large content at once
	smallTime    = 10 * time.Second
	largeTime    = time.Minute
)

// Sender takes appends to one member, in batches. There is no timer: what waits while requests are
// under way goes with the next one, so a request has one small append while there is little to do,
// and many when there is much. Safe for use by several goroutines.
type Sender struct {
	call Call
	mu   sync.Mutex
	lane [2]lane // small, large
	size int64   // octets that wait
	item int
}

// lane is what waits for requests of one kind.
type lane struct {
	waiting fifo.Queue[outgoing]
	running int
}

type outgoing struct {
	shard int
	d     *mailbox.Delivery
	done  func([]mailbox.Result, error)
}

// NewSender returns a sender to the member that call reaches.
func NewSender(call Call) *Sender { return &Sender{call: call} }

// kinds of lanes.
const (
	small = iota
	large
)

// Append takes a delivery for a shard of that member; it does not block. done is called once.
// ErrUnknown: it may have been stored, or may still be. Content.Open is called at most once.
func (s *Sender) Append(shard int, d *mailbox.Delivery, done func([]mailbox.Result, error)) {
	if err := s.add(outgoing{shard, d, done}); err != nil {
		done(nil, err)
	}
}

func (s *Sender) add(o outgoing) error {
	kind, most := small, smallLanes
	if o.d.Content.Size > smallSize {
		kind, most = large, largeLanes
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.item > 0 && s.size+held(o.d) > pendingBytes || s.item+len(o.d.Items) > pendingItems {
		return fmt.Errorf("%w: %d wait for one member", mailbox.ErrBusy, s.item)
	}
	s.size += held(o.d)
	s.item += len(o.d.Items)
	l := &s.lane[kind]
	l.waiting.Push(o)
	if l.running < most {
		l.running++
		go s.run(kind)
	}
	return nil
}

// held is what a waiting delivery holds in memory.
func held(d *mailbox.Delivery) int64 { return int64(len(d.Content.Bytes)) + 64 }

// Waiting is how many messages wait for a request.
func (s *Sender) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.item
}

// run makes requests as long as something waits.
func (s *Sender) run(kind int) {
	for {
		batch := s.take(kind)
		if len(batch) == 0 {
			return
		}
		if kind == small {
			s.sendSmall(batch)
		} else {
			s.sendLarge(batch[0])
		}
	}
}

// take takes what goes into one request; nothing: the lane has ended.
func (s *Sender) take(kind int) (batch []outgoing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.lane[kind]
	for octets := int64(0); l.waiting.Len() > 0 && len(batch) < batchMost; {
		octets += l.waiting.First().d.Content.Size
		if len(batch) > 0 && (kind == large || octets > batchBytes) {
			break
		}
		o := l.waiting.Pop()
		s.size -= held(o.d)
		s.item -= len(o.d.Items)
		batch = append(batch, o)
	}
	if len(batch) == 0 {
		l.running--
	}
	return batch
}

func (s *Sender) sendSmall(batch []outgoing) {
	var body []byte
	sent := batch[:0]
	for _, o := range batch {
		grown, err := appendContent(appendHead(body, o.shard, o.d), &o.d.Content)
		if err != nil {
			o.done(nil, fmt.Errorf("%w: %w", mailbox.ErrContent, err))
			continue
		}
		body, sent = grown, append(sent, o)
	}
	if len(sent) > 0 {
		s.post(smallTime, bytes.NewReader(body), sent)
	}
}

// appendContent appends a content that is not large.
func appendContent(b []byte, c *mailbox.Content) ([]byte, error) {
	r, err := c.Reader()
	if err != nil {
		return b, err
	}
	defer r.Close()
	n := len(b)
	b = append(b, make([]byte, c.Size)...)
	if _, err := io.ReadFull(r, b[n:]); err != nil {
		return b[:n], err
	}
	return b, nil
}

func (s *Sender) sendLarge(o outgoing) {
	r, err := o.d.Content.Reader()
	if err != nil {
		o.done(nil, fmt.Errorf("%w: %w", mailbox.ErrContent, err))
		return
	}
	defer r.Close()
	s.post(
		largeTime,
		io.MultiReader(
			bytes.NewReader(appendHead(nil, o.shard, o.d)),
			io.LimitReader(r, o.d.Content.Size),
		),
		[]outgoing{o},
	)
}

// post makes a request and answers the deliveries that are in it.
func (s *Sender) post(limit time.Duration, body io.Reader, sent []outgoing) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	answered := 0
	err := s.call(ctx, PathAppend, body, func(from io.Reader) error {
		r := newReader(from)
		for _, o := range sent {
			results, err := r.outcome(len(o.d.Items))
			if r.err != nil {
				return r.err
			}
			answered++
			o.done(results, err)
		}
		return nil
	})
	if err == nil {
		err = io.ErrUnexpectedEOF // of those without an answer
	}
	if !errors.Is(err, mailbox.ErrRefused) {
		err = fmt.Errorf("%w: %w", mailbox.ErrUnknown, err)
	}
	for _, o := range sent[answered:] {
		o.done(nil, err)
	}
}
