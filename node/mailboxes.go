package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/telemetry"
	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/mailbox/router"
	"github.com/postroad/postroad/queue"
)

// This file connects the mailboxes of the cluster with what this node has of them.

// newRouter makes all mailboxes of the cluster one store.
func (n *node) newRouter() *router.Router {
	return router.New(router.Options{
		Member:    n.self.Member,
		Placement: n.control,
		Held: func(group uint64) router.Copy {
			if s := n.shards.Get(group); s != nil {
				return s
			}
			return nil // and not a Copy that is a nil pointer
		},
		Call:       n.callMailboxes,
		Pending:    n.pending,
		Settings:   n.mailboxSettings,
		Background: n.background,
		Logf:       n.log.Logf,
	})
}

// callMailboxes makes a request about mailboxes to another member (remote.Call).
func (n *node) callMailboxes(
	ctx context.Context,
	member uint16,
	path string,
	body io.Reader,
	read func(io.Reader) error,
) error {
	err := n.store.Call(ctx, member, http.MethodPost, path, body, read)
	if err == nil {
		return nil
	}
	// An answer other than 200 says that what was asked could not be read: nothing was done.
	answer := (*cluster.Answer)(nil)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.As(err, &answer) {
		return fmt.Errorf("%w: member %d: %w", mailbox.ErrRefused, member, err)
	}
	return fmt.Errorf("member %d: %w", member, err)
}

// pending says which recipients a queue group has still to deliver, 1 for each; the group must be
// this node's.
func (n *node) pending(group uint64, records []mailbox.DedupRecord) ([]byte, error) {
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
		if found != nil && int(r.Recipient) < len(found.Recipients) &&
			!found.Recipients[r.Recipient].State.Final() {
			answer[i] = 1
		}
	}
	return answer, nil
}

// observeMailboxes tells the figures of the mailboxes.
func (n *node) observeMailboxes(o telemetry.Observer) {
	s := n.boxes.Stats()
	o.Gauge("shards", "shards of the mailboxes of which this node has a copy", float64(s.Copies))
	o.Gauge("shards_owned", "shards of the mailboxes that this node owns", float64(s.Owned))
	o.Gauge("mailboxes", "mailboxes", float64(s.Mailboxes))
	o.Gauge("messages", "messages in mailboxes", float64(s.Messages))
	o.Gauge("octets", "octets of messages in mailboxes", float64(s.Bytes))
	o.Gauge("contents", "contents, each of which one or more messages have", float64(s.Contents))
	o.Gauge("content_octets", "octets of contents", float64(s.ContentBytes))
	o.Gauge("append_records",
		"recipients that the queue has still to settle, or that are still to be forgotten",
		float64(s.DedupRecords))
	o.Counter("appended_total", "messages appended", s.Appended)
	o.Counter("duplicates_total",
		"appends that were tried again and had been done before", s.Duplicates)
	o.Counter("proposals_repeated_total",
		"proposals repeated because their outcome was unknown", s.Repeated)
	o.Counter("refused_total", "appends refused because too much was waiting", s.Refused)
	o.Gauge("remote_waiting",
		"messages that wait for a request to the node that owns their mailbox",
		float64(s.RemoteWaiting))
	o.Gauge("forgets_waiting",
		"append records that are to be forgotten in a while", float64(s.ForgetsWaiting))
	o.Counter("forgets_lost_total",
		"append records that could not be forgotten in time", s.ForgetsLost)
	o.Counter("forgets_found_total",
		"append records that were found and forgotten later", s.ForgetsFound)
}
