package reserve

import (
	"os"
	"testing"
)

// The reserve is there only when all of it is, and a part of one is made whole.
func TestReserve(t *testing.T) {
	r := Of(t.TempDir())
	if r.Held() || r.hollow() {
		t.Error("it is there before it was made")
	}
	for range 2 {
		if err := r.Make(1 << 20); err != nil {
			t.Fatal(err)
		}
		if !r.Held() || r.hollow() {
			t.Error("it is not there after it was made")
		}
	}
	if err := os.Truncate(r.dir+"/0", 0); err != nil {
		t.Fatal(err)
	}
	if !r.hollow() {
		t.Error("a copy without its room passes for the reserve")
	}
	if err := r.GiveUp(); err != nil || r.Held() || r.Left() {
		t.Errorf("it is there after it was given up: %v", err)
	}
}
