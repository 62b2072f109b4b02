//go:build defect_forgetearly

package mailbox

const dropsDedupEarly = true

// dropDedupEarly is a planted defect: the dedup records go as soon as the messages are there, not
// when the queue has settled the recipients. TestExactlyOnce must fail with it.
func (r *run) dropDedupEarly(items []Item) {
	for i := range items {
		if key := items[i].Key; !key.ID.IsZero() {
			r.front.dropDedup([]DedupRecord{{key.ID, key.Recipient}})
		}
	}
}
