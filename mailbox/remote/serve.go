package remote

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/postroad/postroad/mailbox"
)

// Shards is where a member finds what it has.
type Shards interface {
	// Owned returns a shard of which this member surely is the owner; nil: it is not.
	Owned(shard int) *mailbox.Store
	// Held returns a shard of which this member has a copy; nil: it has none.
	Held(shard int) *mailbox.Store
}

// Handler answers the other members' requests. It trusts whoever reaches it: serve it on the node's
// port only.
func Handler(s Shards) http.Handler {
	h := handler{s}
	m := http.NewServeMux()
	m.HandleFunc("POST "+PathAppend, h.append)
	m.HandleFunc("POST "+PathTogether, h.together)
	m.HandleFunc("POST "+PathVerb, h.verb)
	m.HandleFunc("POST "+PathMessages, h.messages)
	m.HandleFunc("POST "+PathPiece, h.piece)
	m.HandleFunc("POST "+PathForget, h.forget)
	return m
}

type handler struct{ shards Shards }

// append takes deliveries as they come, and answers when all have an outcome.
func (h handler) append(w http.ResponseWriter, r *http.Request) {
	in := newReader(r.Body)
	var all outcomes
	for in.more() {
		shard, d := in.head()
		large := d.Content.Size > smallSize
		if !large {
			in.content(&d.Content)
		}
		if in.err != nil {
			break
		}
		if large { // its content is the rest of the request
			d.Content.Open = func() (io.ReadCloser, error) { return io.NopCloser(in), nil }
		}
		h.deliver(shard, d, all.expect())
		if large {
			break
		}
	}
	if in.err != nil {
		panic(http.ErrAbortHandler) // nothing is known of what was in the part that is missing
	}
	w.Write(all.wait())
}

func (h handler) deliver(shard int, d *mailbox.Delivery, done func([]mailbox.Result, error)) {
	s := h.shards.Owned(shard)
	if s == nil {
		done(nil, mailbox.ErrRefused)
		return
	}
	s.Append(d, done)
}

// together appends deliveries for one shard by one command.
func (h handler) together(w http.ResponseWriter, r *http.Request) {
	in := newReader(r.Body)
	var all []*mailbox.Delivery
	shard, octets := 0, int64(0)
	for in.more() {
		var d *mailbox.Delivery
		shard, d = in.head()
		if octets += d.Content.Size; octets > mailbox.MaxBatch {
			in.fail(errTooMuch)
		}
		in.content(&d.Content)
		all = append(all, d)
	}
	if in.err != nil {
		http.Error(w, in.err.Error(), http.StatusBadRequest)
		return
	}
	s := h.shards.Owned(shard)
	if s == nil {
		w.Write([]byte{number(mailbox.ErrRefused)})
		return
	}
	results, err := s.AppendBatch(r.Context(), all)
	b := []byte{number(err)}
	for _, some := range results {
		if err == nil {
			b = appendOutcome(b, some, nil)
		}
	}
	w.Write(b)
}

// outcomes are those of one request's deliveries, in their order.
type outcomes struct {
	mu      sync.Mutex
	encoded [][]byte
	pending sync.WaitGroup
}

// expect returns what is to be told of the next delivery.
func (o *outcomes) expect() func([]mailbox.Result, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := len(o.encoded)
	o.encoded = append(o.encoded, nil)
	o.pending.Add(1)
	return func(results []mailbox.Result, err error) {
		o.mu.Lock()
		o.encoded[i] = appendOutcome(nil, results, err)
		o.mu.Unlock()
		o.pending.Done()
	}
}

// wait returns all outcomes. A term that ends answers for what is under way, so it is not for ever.
func (o *outcomes) wait() (b []byte) {
	o.pending.Wait()
	for _, e := range o.encoded {
		b = append(b, e...)
	}
	return b
}

// maxRequest bounds a request in octets: an update of 100,000 UIDs is one.
const maxRequest = 4 << 20

// request reads a request; it answers itself when there is none.
func request(w http.ResponseWriter, r *http.Request) (q Request, ok bool) {
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&q)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
	return q, err == nil
}

func (h handler) verb(w http.ResponseWriter, r *http.Request) {
	q, ok := request(w, r)
	if !ok {
		return
	}
	reply := Reply{Error: number(mailbox.ErrRefused)}
	if s := h.shards.Owned(q.Shard); s != nil {
		reply = Do(r.Context(), s, &q)
	}
	json.NewEncoder(w).Encode(&reply)
}

// messages lists a folder.
func (h handler) messages(w http.ResponseWriter, r *http.Request) {
	q, ok := request(w, r)
	if !ok {
		return
	}
	s := h.shards.Owned(q.Shard)
	if s == nil {
		w.Write([]byte{number(mailbox.ErrRefused)})
		return
	}
	b := make([]byte, 1, 64<<10) // no error
	err := s.Messages(q.Box, q.Folder, mailbox.Range{}, func(m *mailbox.Message) bool {
		b = appendMessage(b, m)
		return true
	})
	if err != nil {
		w.Write([]byte{number(err)})
		return
	}
	w.Write(append(b, 0))
}

// piece gives a piece of a message. A member that has a copy of the shard can do that; whether a
// message is not there only the owner knows.
func (h handler) piece(w http.ResponseWriter, r *http.Request) {
	q, ok := request(w, r)
	if !ok {
		return
	}
	m, err := h.open(&q)
	if err != nil {
		w.Write(appendPieceHead(nil, 0, err))
		return
	}
	defer m.Close()
	w.Write(appendPieceHead(nil, m.Message.Size, nil))
	if _, err := io.CopyN(w, m, min(max(m.Message.Size-q.At, 0), PieceSize)); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func (h handler) open(q *Request) (*mailbox.ContentReader, error) {
	s := h.shards.Held(q.Shard)
	if s == nil || len(q.UIDs) != 1 || q.At < 0 {
		return nil, mailbox.ErrRefused
	}
	m, err := s.OpenMessage(q.Box, q.Folder, q.UIDs[0])
	if err == nil {
		_, err = m.Seek(q.At, io.SeekStart)
	}
	if errors.Is(err, mailbox.ErrNoMessage) && h.shards.Owned(q.Shard) == nil {
		err = mailbox.ErrRefused
	}
	return m, err
}

// forget drops dedup records of one shard.
func (h handler) forget(w http.ResponseWriter, r *http.Request) {
	in := newReader(r.Body)
	shard := int(in.count(1 << 16))
	records, err := ReadRecords(in)
	if err := cmp.Or(in.err, err); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if s := h.shards.Owned(shard); s != nil {
		_ = s.DropDedupRecords(records) // what is lost is found again
	}
}
