package fifo

// Ring is a first-in, first-out queue in a ring buffer, out of which something may be taken that is
// not next. The zero value is empty. Not safe for use by several goroutines.
type Ring[T comparable] struct {
	buf     []T
	head, n int
}

// Push adds one at the end.
func (d *Ring[T]) Push(v T) {
	if d.n == len(d.buf) {
		buf := make([]T, max(2, 2*d.n))
		for i := range d.n {
			buf[i] = d.buf[(d.head+i)%d.n]
		}
		d.buf, d.head = buf, 0
	}
	d.buf[(d.head+d.n)&(len(d.buf)-1)] = v
	d.n++
}

// Len returns how many wait.
func (d *Ring[T]) Len() int { return d.n }

// Next returns the one that is next; there must be one.
func (d *Ring[T]) Next() T { return d.buf[d.head] }

// Used reports whether there ever was one.
func (d *Ring[T]) Used() bool { return d.buf != nil }

// Pop takes the one that is next; ok is false when there is none.
func (d *Ring[T]) Pop() (v T, ok bool) {
	if d.n == 0 {
		return v, false
	}
	var zero T
	v, d.buf[d.head] = d.buf[d.head], zero
	d.head = (d.head + 1) & (len(d.buf) - 1)
	d.n--
	return v, true
}

// Remove takes v out wherever it is: a rare operation.
func (d *Ring[T]) Remove(v T) {
	for range d.n {
		if x, _ := d.Pop(); x != v {
			d.Push(x)
		}
	}
}
