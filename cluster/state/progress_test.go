package state

import "testing"

// TestGivingTwice: a member that asks again has given up what it asked for before, whose end
// changes nothing.
func TestGivingTwice(t *testing.T) {
	var gs transfers
	_, endFirst := gs.begin(3, nil, 10)
	_, endSecond := gs.begin(3, nil, 20)
	endFirst()
	if now := gs.now(); len(now) != 1 || now[3].Of != 20 {
		t.Errorf("%+v", now)
	}
	endSecond()
	if now := gs.now(); now != nil {
		t.Errorf("%+v", now)
	}
}
