package router

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
)

// A forget is lost when the node that was to tell it ended, or found no owner. The record that is
// left of it is an orphan: nobody will name it again. It is looked for here.

const (
	orphanAge   = time.Hour   // how old a record is that should have been forgotten
	orphanEvery = time.Minute // and how often one is looked for
)

// dropOrphans drops records of messages from before a time that no queue group knows any more. It
// does so for the shards that this node owns.
func (r *Router) dropOrphans(ctx context.Context, before time.Time) {
	for shard := range r.Shards() {
		if s := r.Owned(shard); s != nil {
			if err := r.dropOrphansOf(ctx, s, before); err != nil && ctx.Err() == nil {
				r.o.Logf("shard %d: append records of long ago stay: %v", shard, err)
				return
			}
		}
	}
}

func (r *Router) dropOrphansOf(ctx context.Context, s *mailbox.Store, before time.Time) error {
	limit := mail.FloorID(before)
	for after := (mailbox.DedupRecord{}); ; {
		records, err := s.DedupRecords(after, forgetMost)
		if err != nil {
			return err
		}
		byID := func(x mailbox.DedupRecord, id mail.ID) int { return bytes.Compare(x.ID[:], id[:]) }
		old, _ := slices.BinarySearchFunc(records, limit, byID)
		if records = records[:old]; old == 0 {
			return nil
		}
		settled, err := r.settled(ctx, records)
		if err == nil && len(settled) > 0 {
			err = s.DropDedupRecords(settled)
		}
		r.forgets.count(0, len(settled))
		if err != nil || old < forgetMost {
			return err
		}
		after = records[len(records)-1]
	}
}

// settled returns those of the records whose recipients no queue group has to deliver any more.
// Every group must have answered.
func (r *Router) settled(
	ctx context.Context, records []mailbox.DedupRecord,
) ([]mailbox.DedupRecord, error) {
	pending := make([]byte, len(records))
	for _, g := range r.o.Placement.Groups() {
		if g.Kind != control.KindQueue || g.State == control.GroupNew {
			continue
		}
		answer, err := r.pendingIn(ctx, &g, records)
		if err != nil {
			return nil, fmt.Errorf("group %d cannot be asked: %w", g.ID, err)
		}
		for i := range pending {
			pending[i] |= answer[i]
		}
	}
	var settled []mailbox.DedupRecord
	for i, record := range records {
		if pending[i] == 0 {
			settled = append(settled, record)
		}
	}
	return settled, nil
}

// pendingIn asks the owner of a queue group which recipients it has still to deliver: 1 for each
// that it has.
func (r *Router) pendingIn(
	ctx context.Context, g *control.Group, records []mailbox.DedupRecord,
) (answer []byte, err error) {
	if answer, err = r.o.Pending(g.ID, records); err == nil {
		return answer, nil
	}
	ctx, cancel := context.WithTimeout(ctx, forgetEvery)
	defer cancel()
	path := fmt.Sprintf("%s?group=%d", remote.PathPending, g.ID)
	for _, member := range g.Observed.Voters {
		if member == r.o.Member {
			continue
		}
		body := bytes.NewReader(remote.AppendRecords(nil, records))
		err = r.call(member)(ctx, path, body, func(from io.Reader) (err error) {
			answer = make([]byte, len(records))
			_, err = io.ReadFull(from, answer)
			return err
		})
		if err == nil {
			return answer, nil
		}
	}
	return nil, err
}

// Handler answers what other members ask about mailboxes, below /mailbox/. It trusts whoever
// reaches it: serve it on the node's port only.
func (r *Router) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/mailbox/", remote.Handler(r))
	mux.HandleFunc("POST "+remote.PathPending, r.servePending)
	return mux
}

// servePending says which recipients a queue group of this node has still to deliver.
func (r *Router) servePending(w http.ResponseWriter, req *http.Request) {
	group, err := strconv.ParseUint(req.URL.Query().Get("group"), 10, 64)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	records, err := remote.ReadRecords(req.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer, err := r.o.Pending(group, records)
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.Write(answer)
}
