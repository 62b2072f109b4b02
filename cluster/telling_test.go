package cluster

import "testing"

// TestRaftAsksWithTheFrames: the first answer to a frame has raft ask, though frames and answers do
// not come to the millisecond, and the others do not.
func TestRaftAsksWithTheFrames(t *testing.T) {
	const frame = 1000
	var heard telling
	for k := int64(1); k < 100; k++ {
		for i := range int64(3) {
			if due := heard.due(k*frame+i*100+k%5*20, frame); due != (i == 0) {
				t.Fatalf("frame %d, answer %d: raft is to ask: %v", k, i, due)
			}
		}
	}
}
