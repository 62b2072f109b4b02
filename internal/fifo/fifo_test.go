package fifo

import "testing"

func TestQueue(t *testing.T) {
	var q Queue[int]
	next, want := 0, 0
	for round := range 200 {
		for range round % 17 {
			q.Push(next)
			next++
		}
		for q.Len() > round%23 {
			if got := *q.First(); got != want || q.Pop() != want {
				t.Fatalf("got %d, want %d", got, want)
			}
			want++
		}
	}
	if next-want != q.Len() || cap(q.items) > 200 {
		t.Fatalf("%d left, want %d; room for %d", q.Len(), next-want, cap(q.items))
	}
}
