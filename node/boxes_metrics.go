package node

import (
	"github.com/postroad/postroad/internal/telemetry"
	"github.com/postroad/postroad/mailbox"
)

// observeMailboxes tells the figures of the shards that this node owns, together: so the sum over
// all nodes counts everything once.
func (n *node) observeMailboxes(o telemetry.Observer) {
	var sum mailbox.Stats
	owned := 0
	all := n.shards.List()
	for _, s := range all {
		if !s.open() {
			continue
		}
		owned++
		one, err := s.store.Stats()
		if err != nil {
			continue // a disk that cannot be read is told of elsewhere
		}
		for _, x := range []struct{ to, from *uint64 }{
			{&sum.Mailboxes, &one.Mailboxes}, {&sum.Messages, &one.Messages}, {&sum.Bytes, &one.Bytes}, {&sum.Contents, &one.Contents},
			{&sum.ContentBytes, &one.ContentBytes}, {&sum.DedupRecords, &one.DedupRecords}, {&sum.Appended, &one.Appended}, {&sum.Duplicates, &one.Duplicates},
			{&sum.Repeated, &one.Repeated}, {&sum.Refused, &one.Refused},
		} {
			*x.to += *x.from
		}
	}
	o.Gauge("shards", "shards of the mailboxes of which this node has a copy", float64(len(all)))
	o.Gauge("shards_owned", "shards of the mailboxes that this node owns", float64(owned))
	o.Gauge("mailboxes", "mailboxes", float64(sum.Mailboxes))
	o.Gauge("messages", "messages in mailboxes", float64(sum.Messages))
	o.Gauge("octets", "octets of messages in mailboxes", float64(sum.Bytes))
	o.Gauge("contents", "contents, each of which one or more messages have", float64(sum.Contents))
	o.Gauge("content_octets", "octets of contents", float64(sum.ContentBytes))
	o.Gauge("append_records", "recipients that the queue has still to settle, or that are still to be forgotten", float64(sum.DedupRecords))
	o.Counter("appended_total", "messages appended", sum.Appended)
	o.Counter("duplicates_total", "appends that were tried again and had been done before", sum.Duplicates)
	o.Counter("proposals_repeated_total", "proposals repeated because their outcome was unknown", sum.Repeated)
	o.Counter("refused_total", "appends refused because too much was waiting", sum.Refused)
	n.boxes.observe(o)
}

// observe tells what is on its way to other nodes.
func (m *mailboxes) observe(o telemetry.Observer) {
	m.mu.Lock()
	waiting := 0
	for _, s := range m.senders {
		waiting += s.Waiting()
	}
	m.mu.Unlock()
	o.Gauge("remote_waiting", "messages that wait for a request to the node that owns their mailbox", float64(waiting))
	f := &m.forgets
	f.mu.Lock()
	defer f.mu.Unlock()
	o.Gauge("forgets_waiting", "append records that are to be forgotten in a while", float64(f.waiting.Len()))
	o.Counter("forgets_lost_total", "append records that could not be forgotten in time", f.lost)
	o.Counter("forgets_found_total", "append records that were found and forgotten later", f.found)
}
