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

func TestRing(t *testing.T) {
	var r Ring[int]
	if _, ok := r.Pop(); ok || r.Used() {
		t.Fatal("something is in an empty ring")
	}
	var want []int
	for i := range 1000 {
		r.Push(i)
		want = append(want, i)
		if i%7 == 3 {
			r.Remove(want[len(want)/2])
			want = append(want[:len(want)/2], want[len(want)/2+1:]...)
		}
		for len(want) > i%19 {
			next := r.Next()
			if got, ok := r.Pop(); !ok || got != want[0] || next != got {
				t.Fatalf("got %d, want %d", got, want[0])
			}
			want = want[1:]
		}
		if r.Len() != len(want) {
			t.Fatalf("%d left, want %d", r.Len(), len(want))
		}
	}
}
