package mail

import "sync/atomic"

// Shared is a content of which several messages are made. Its octets are given back when the last
// of them, and the Shared, are released. Safe for use by several goroutines.
type Shared struct {
	content *Content
	holders atomic.Int64
}

// Share takes over a content.
func Share(c *Content) *Shared {
	s := &Shared{content: c}
	s.holders.Store(1)
	return s
}

// Behind returns a content of its own, for one reader: the shared octets behind a prefix, which may
// be empty. Nobody observes it yet.
func (s *Shared) Behind(prefix []byte) *Content {
	s.holders.Add(1)
	c := &Content{Chunks: s.content.Chunks, Size: s.content.Size, IDAt: s.content.IDAt,
		MessageID: s.content.MessageID, Released: s.Release}
	if spill := s.content.Spill; spill != nil {
		c.Spill = &Spill{F: spill.F, Size: spill.Size, lent: true}
	}
	c.Prepend(prefix)
	return c
}

// Release is what its owner calls once, and each content made of it.
func (s *Shared) Release() {
	if s.holders.Add(-1) == 0 {
		s.content.Release()
	}
}

// Prepend puts octets in front of a content.
func (c *Content) Prepend(prefix []byte) {
	if len(prefix) == 0 {
		return
	}
	c.Chunks = append([][]byte{prefix}, c.Chunks...) // a slice of its own: the chunks may be shared
	c.Size += int64(len(prefix))
	if c.IDAt > 0 {
		c.IDAt += int64(len(prefix))
	}
}
