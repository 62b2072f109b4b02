// Package fifo has the queue in memory in which things wait for a command of a replicated group, a
// request or a worker.
package fifo

// Queue is a first-in, first-out queue that uses its memory again. The zero value is empty. Not
// safe for use by several goroutines.
type Queue[T any] struct {
	items []T
	head  int
}

// Len returns how many wait.
func (q *Queue[T]) Len() int { return len(q.items) - q.head }

// First returns the one that is next, in its place; there must be one.
func (q *Queue[T]) First() *T { return &q.items[q.head] }

// Push adds one at the end.
func (q *Queue[T]) Push(v T) {
	if q.head > 32 && q.head*2 > len(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, v)
}

// Pop takes the one that is next; there must be one.
func (q *Queue[T]) Pop() T {
	v := q.items[q.head]
	var zero T
	q.items[q.head] = zero
	if q.head++; q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return v
}
