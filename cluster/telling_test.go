package cluster

import (
	"testing"

	"github.com/hashicorp/raft"
)

// TestRaftHearsOfAMajority: raft hears of a majority of the voters every tellEvery frames, of all
// that answer every tellRest, and of few more.
func TestRaftHearsOfAMajority(t *testing.T) {
	const frame, frames = 1000, 2000
	for _, c := range []struct {
		name   string
		voters int
		learns bool             // there is a member beside them that does not vote
		dies   map[uint16]int64 // in which frame
		most   int              // answers that raft hears of
	}{
		{"two voters", 2, false, nil, frames/tellEvery + 2},
		{"three voters", 3, false, nil, frames/tellEvery + 2},
		{"three voters and one that does not vote", 3, true, nil, 3*frames/4 + 4},
		{"three voters, one dies", 3, false, map[uint16]int64{2: 501}, frames/tellEvery + 2},
		{"five voters", 5, false, nil, 2*frames/tellEvery + 4},
		{"five voters, two die", 5, false, map[uint16]int64{2: 501, 5: 1001}, 2*frames/tellEvery + 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			servers := []raft.Server{{ID: "1"}}
			for m := uint16(2); m <= uint16(c.voters); m++ {
				servers = append(servers, raft.Server{ID: serverID(m)})
			}
			if c.learns {
				servers = append(servers, raft.Server{ID: "9", Suffrage: raft.Nonvoter})
			}
			others := servers[1:]
			var heard tellings
			told, last := 0, map[uint16]int64{}
			for k := int64(1); k <= frames; k++ {
				fresh := 0
				for i := range others {
					s := others[(i+int(k))%len(others)] // who answers first differs
					m := memberOf(s.ID)
					if died, ok := c.dies[m]; ok && k >= died {
						continue
					}
					if heard.due(m, servers, k*frame+int64(i*7+int(k%5)*90), frame) {
						told++
						last[m] = k
					}
					if k > tellRest && k-last[m] > tellRest {
						t.Fatalf("frame %d: of member %d it heard in frame %d", k, m, last[m])
					}
					if s.Suffrage == raft.Voter && k-last[m] < tellEvery {
						fresh++
					}
				}
				changed := false // one died, and had been counted on
				for _, died := range c.dies {
					changed = changed || k >= died && k <= died+tellEvery
				}
				if fresh < c.voters/2 && !changed {
					t.Fatalf("frame %d: of %d others it heard within %d frames, want %d", k, fresh, tellEvery, c.voters/2)
				}
			}
			if told > c.most {
				t.Errorf("it heard of %d answers in %d frames, want at most %d", told, frames, c.most)
			}
		})
	}
}
