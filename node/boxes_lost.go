package node

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/mailbox/remote"
	"github.com/postroad/postroad/queue"
)

// A forget is lost when the node that was to tell it ended, or found no owner. What is left of it,
// a record of long ago, is looked for here.

const (
	lostAfter = time.Hour   // how old a record is that should have been forgotten
	lostEvery = time.Minute // and how often one is looked for
)

// searchLost forgets records of messages from before a time that no queue group knows any more:
// their forgets were lost. It does so for the shards that this node owns.
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
	for after := (mailbox.DedupRecord{}); ; {
		records, err := s.DedupRecords(after, forgetMost)
		if err != nil {
			return err
		}
		old, _ := slices.BinarySearchFunc(records, limit, func(r mailbox.DedupRecord, id mail.ID) int { return bytes.Compare(r.ID[:], id[:]) })
		if records = records[:old]; old == 0 {
			return nil
		}
		settled, err := m.settled(ctx, records)
		if err == nil && len(settled) > 0 {
			err = s.DropDedupRecords(settled)
		}
		m.forgets.count(0, len(settled))
		if err != nil || old < forgetMost {
			return err
		}
		after = records[len(records)-1]
	}
}

// settled returns those of the records whose recipients no queue group has to deliver any more.
// Every group must have answered.
func (m *mailboxes) settled(ctx context.Context, records []mailbox.DedupRecord) ([]mailbox.DedupRecord, error) {
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
	var settled []mailbox.DedupRecord
	for i, r := range records {
		if pending[i] == 0 {
			settled = append(settled, r)
		}
	}
	return settled, nil
}

// pendingIn asks the owner of a queue group which recipients it has still to deliver: 1 for each
// that it has.
func (m *mailboxes) pendingIn(ctx context.Context, g *control.Group, records []mailbox.DedupRecord) (answer []byte, err error) {
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
func (n *node) pendingHere(group uint64, records []mailbox.DedupRecord) ([]byte, error) {
	h := n.queues.Get(group)
	if h == nil || !h.owns() {
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
