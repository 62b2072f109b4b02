//go:build defect_forgetearly

package mailbox

const forgetsEarly = true

// forgetEarly is a planted defect: the append records go as soon as the messages are there, not
// when the queue has settled the recipients. TestExactlyOnce must fail with it.
func (r *run) forgetEarly(items []Item) {
	for i := range items {
		if key := items[i].Key; !key.ID.IsZero() {
			r.front.forget([]Record{{key.ID, key.Recipient}})
		}
	}
}
