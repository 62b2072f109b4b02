package mailbox

import (
	"fmt"
	"io"
)

// batch is one append command under way.
type batch struct {
	deliveries []delivery
	data       []byte
	parts      [][]byte
}

// build makes the command's body. The contents are copied once, into a buffer whose slices are the
// command's parts: the group may hold on to it, so it is never used again. Deliveries whose content
// cannot be read are answered and left out.
func (b *batch) build(t *taken, head []byte) {
	var total int64
	for i := range t.deliveries {
		total += t.deliveries[i].Content.Size
	}
	octets := make([]byte, 0, total)
	for _, d := range t.deliveries {
		start := len(octets)
		grown, err := readContent(octets, &d.Content)
		if err != nil {
			d.done(nil, fmt.Errorf("%w: %w", ErrContent, err))
			continue
		}
		octets = grown
		b.deliveries = append(b.deliveries, d)
		for content := octets[start:]; len(content) > 0; {
			n := min(len(content), partSize)
			b.parts = append(b.parts, content[:n:n])
			content = content[n:]
		}
	}
	b.data = appendDrops(head, t.drops)
	b.data = appendCount(b.data, len(b.deliveries))
	for i := range b.deliveries {
		d := b.deliveries[i].Delivery
		b.data = appendItems(appendDelivery(b.data, d.Content.Size, 0, 0, len(d.Items)), d.Items)
	}
}

func appendItems(b []byte, items []Item) []byte {
	for i := range items {
		b = appendItem(b, &items[i])
	}
	return b
}

// readContent appends a whole content, which fits.
func readContent(b []byte, c *Content) ([]byte, error) {
	if c.Open == nil || c.Bytes != nil {
		if int64(len(c.Bytes)) != c.Size {
			return b, fmt.Errorf("%d octets of %d", len(c.Bytes), c.Size)
		}
		return append(b, c.Bytes...), nil
	}
	r, err := c.Open()
	if err != nil {
		return b, err
	}
	defer r.Close()
	n := len(b)
	_, err = io.ReadFull(r, b[n:n+int(c.Size)])
	return b[:n+int(c.Size)], err
}
