package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/internal/fifo"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/mailbox/remote"
	"github.com/postroad/postroad/queue"
)

// forgets are append records whose recipients are settled, until they may be forgotten: an append that was tried twice may arrive long after the
// other one, and must then meet its record.
type forgets struct {
	mu      sync.Mutex
	waiting fifo.Queue[forgetting]
	lost    uint64 // for want of room here, or of an owner; they are found again
	found   uint64
}

// forgetting is one record, in as few octets as will do.
type forgetting struct {
	record mailbox.Record
	shard  uint16
	since  uint32 // seconds since 1970
}

const (
	maxForgets  = 1_000_000 // that wait, in memory
	forgetEvery = 5 * time.Second
	forgetMost  = 5000        // records of one request
	lostAfter   = time.Hour   // how old a record is that should have been forgotten
	lostEvery   = time.Minute // and how often one is looked for
)

// Forget drops append records whose recipients the queue has settled, a while later. It does not block, and may be lost.
func (m *mailboxes) Forget(number int, records []mailbox.Record) {
	f := &m.forgets
	now := uint32(time.Now().Unix())
	f.mu.Lock()
	defer f.mu.Unlock()
	room := max(0, min(len(records), maxForgets-f.waiting.Len()))
	f.lost += uint64(len(records) - room)
	for _, r := range records[:room] {
		f.waiting.Push(forgetting{r, uint16(number), now})
	}
}

// due takes the records that have waited for long enough, by shard.
func (f *forgets) due(now time.Time) map[int][]mailbox.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	until := now.Add(-remote.ForgetAfter).Unix()
	var due map[int][]mailbox.Record
	for f.waiting.Len() > 0 && int64(f.waiting.First().since) <= until {
		x := f.waiting.Pop()
		if due == nil {
			due = map[int][]mailbox.Record{}
		}
		due[int(x.shard)] = append(due[int(x.shard)], x.record)
	}
	return due
}

func (f *forgets) count(lost, found int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost, f.found = f.lost+uint64(lost), f.found+uint64(found)
}

// run forgets what may be forgotten, until ctx ends.
func (m *mailboxes) run(ctx context.Context) {
	tick := time.NewTicker(forgetEvery)
	defer tick.Stop()
	searched := time.Now()
	for {
		select {
		case now := <-tick.C:
			for number, records := range m.forgets.due(now) {
				for some := range slices.Chunk(records, forgetMost) {
					if m.forgetNow(ctx, number, some) != nil {
						m.forgets.count(len(some), 0)
					}
				}
			}
			if now.Sub(searched) >= lostEvery {
				m.searchLost(ctx, now.Add(-lostAfter))
				searched = now
			}
		case <-ctx.Done():
			return
		}
	}
}

// forgetNow has the owner of a shard drop records.
func (m *mailboxes) forgetNow(ctx context.Context, number int, records []mailbox.Record) error {
	s, member := m.owner(number)
	switch {
	case s != nil:
		return s.Forget(records)
	case member == 0:
		return errNoOwner
	}
	ctx, cancel := context.WithTimeout(ctx, forgetEvery)
	defer cancel()
	body := remote.AppendRecords(binary.AppendUvarint(nil, uint64(number)), records)
	return m.call(member)(ctx, remote.PathForget, bytes.NewReader(body), nil)
}

// searchLost forgets records of messages from before a time that no queue group knows any more: their forgets were lost. It does so for
// the shards that this node owns.
func (m *mailboxes) searchLost(ctx context.Context, before time.Time) {
	for number := range m.Shards() {
		if s := m.Owned(number); s != nil {
			if err := m.searchShard(ctx, s, before); err != nil && ctx.Err() == nil {
				m.n.log.Logf("shard %d: append records of long ago stay: %v", number, err)
				return
			}
		}
	}
}

func (m *mailboxes) searchShard(ctx context.Context, s *mailbox.Store, before time.Time) error {
	limit := mail.FloorID(before)
	for after := (mailbox.Record{}); ; {
		records, err := s.Records(after, forgetMost)
		if old, _ := slices.BinarySearchFunc(records, limit, func(r mailbox.Record, id mail.ID) int { return bytes.Compare(r.ID[:], id[:]) }); err == nil {
			records = records[:old]
		}
		if err != nil || len(records) == 0 {
			return err
		}
		settled, err := m.settled(ctx, records)
		if err == nil && len(settled) > 0 {
			err = s.Forget(settled)
		}
		if err != nil || len(records) < forgetMost {
			m.forgets.count(0, len(settled))
			return err
		}
		m.forgets.count(0, len(settled))
		after = records[len(records)-1]
	}
}

// settled returns those of the records whose recipients no queue group has to deliver any more. Every group must have answered.
func (m *mailboxes) settled(ctx context.Context, records []mailbox.Record) ([]mailbox.Record, error) {
	pending := make([]byte, len(records))
	for _, g := range m.n.control.Groups() {
		if g.Kind != control.KindQueue || g.State == control.GroupNew {
			continue
		}
		answer, err := m.pendingIn(ctx, &g, records)
		if err != nil {
			return nil, fmt.Errorf("group %d cannot be asked: %w", g.ID, err)
		}
		for i := range pending {
			pending[i] |= answer[i]
		}
	}
	var settled []mailbox.Record
	for i, r := range records {
		if pending[i] == 0 {
			settled = append(settled, r)
		}
	}
	return settled, nil
}

// pendingIn asks the owner of a queue group which recipients it has still to deliver: 1 for each that it has.
func (m *mailboxes) pendingIn(ctx context.Context, g *control.Group, records []mailbox.Record) (answer []byte, err error) {
	if answer, err = m.n.pendingHere(g.ID, records); err == nil {
		return answer, nil
	}
	ctx, cancel := context.WithTimeout(ctx, forgetEvery)
	defer cancel()
	for _, member := range g.Observed.Voters {
		if member == m.n.self.Member {
			continue
		}
		path := fmt.Sprintf("%s?group=%d", remote.PathPending, g.ID)
		err = m.call(member)(ctx, path, bytes.NewReader(remote.AppendRecords(nil, records)), func(r io.Reader) (err error) {
			answer = make([]byte, len(records))
			_, err = io.ReadFull(r, answer)
			return err
		})
		if err == nil {
			return answer, nil
		}
	}
	return nil, err
}

// pendingHere answers for a queue that this node owns.
func (n *node) pendingHere(group uint64, records []mailbox.Record) ([]byte, error) {
	h := n.queues.get(group)
	if h == nil || h.tenure.Load() == nil || !h.group.Holds(h.tenure.Load().number()) {
		return nil, errNotHome
	}
	answer := make([]byte, len(records))
	var last mail.ID
	var found *queue.Stored
	for i, r := range records {
		if r.ID != last {
			var err error
			if found, err = h.queue.Load(r.ID); err != nil {
				return nil, err
			}
			last = r.ID
		}
		if found != nil && int(r.Recipient) < len(found.Recipients) && !found.Recipients[r.Recipient].State.Final() {
			answer[i] = 1
		}
	}
	return answer, nil
}

// routes answers what other members ask about mailboxes.
func (m *mailboxes) routes(mux *http.ServeMux) {
	mux.Handle("/mailbox/", remote.Handler(m))
	mux.HandleFunc("POST "+remote.PathPending, func(w http.ResponseWriter, r *http.Request) {
		group, err := strconv.ParseUint(r.URL.Query().Get("group"), 10, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		records, err := remote.ReadRecords(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer, err := m.n.pendingHere(group, records)
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		w.Write(answer)
	})
}
