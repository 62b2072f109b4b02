package load

// Bodies are real messages, read by ReadBodies, dots stuffed.
type Bodies struct {
	bodies []body
}

type body struct {
	stuffed []byte
	size    int // octets before stuffing
}

// Len returns how many there are.
func (b *Bodies) Len() int { return len(b.bodies) }
