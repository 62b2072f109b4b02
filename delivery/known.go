package delivery

import (
	"slices"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue"
)

// known is what a destination has in memory when a load's answer comes, by recipient: what waits,
// is being attempted, or was settled while the load ran. A row's place in the schedule does not
// tell it: an operator's verb gives a recipient another row in the middle of an attempt. It is made
// anew for each answer; its memory is used again.
type known struct {
	first map[mail.ID]int32 // place in all of the latest of a message
	all   []held
}

// held are recipients of one message that are in memory under one row.
type held struct {
	row        row
	recipients []uint32 // ascending
	e          *entry   // nil: it was settled
	next       int32    // place in all of the next of the same message; negative: none
}

// fill takes in what d has.
func (k *known) fill(d *destination) {
	for _, f := range d.flows {
		for e := f.list.head; e != nil; e = e.next {
			k.add(held{row: e.row(), recipients: e.item.Recipients, e: e})
		}
	}
	for e := d.busy.head; e != nil; e = e.next {
		k.add(held{row: e.row(), recipients: e.item.Recipients, e: e})
	}
	for _, g := range d.graves {
		k.add(g)
	}
}

func (k *known) add(h held) {
	h.next = -1
	if i, ok := k.first[h.row.id]; ok {
		h.next = i
	}
	k.first[h.row.id] = int32(len(k.all))
	k.all = append(k.all, h)
}

func (k *known) empty() {
	clear(k.first)
	clear(k.all)
	k.all = k.all[:0]
}

// strike takes the recipients that are known out of an item that d's load has read. Where they are
// known under another row, that row is looked for again when they have left.
func (k *known) strike(d *destination, it *queue.Item) {
	i, ok := k.first[it.Message.ID]
	if !ok {
		return
	}
	at := rowOf(it)
	for ; i >= 0; i = k.all[i].next {
		h, before := &k.all[i], len(it.Recipients)
		it.Recipients = without(it.Recipients, h.recipients)
		switch {
		case len(it.Recipients) == before || h.row == at:
		case h.e != nil:
			h.e.moved = true
		default:
			d.rewind(at)
		}
	}
}

// without takes the second list out of the first, in its place. Both ascend.
func without(list, other []uint32) []uint32 {
	return slices.DeleteFunc(list, func(n uint32) bool {
		_, found := slices.BinarySearch(other, n)
		return found
	})
}
