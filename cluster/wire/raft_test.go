package wire

import (
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// layer makes a Stream what raft's transport wants.
type layer struct{ *Stream }

func (l layer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	member, err := strconv.ParseUint(string(address), 10, 16)
	if err != nil {
		return nil, err
	}
	return l.DialMember(uint16(member), timeout)
}

// TestRaftTransports: two groups of raft speak over two ports, each with its own.
func TestRaftTransports(t *testing.T) {
	w := newWorld(t)
	ports := []*Port{w.port(1), w.port(2)}
	for _, group := range []uint64{1, 2} {
		var ends []*raft.NetworkTransport
		for _, p := range ports {
			n := raft.NewNetworkTransport(layer{p.Stream(group)}, 3, patience, io.Discard)
			defer n.Close()
			ends = append(ends, n)
		}
		if s := ends[0].LocalAddr(); s != "1" {
			t.Errorf("raft's address is %q", s)
		}
		go func() {
			for rpc := range ends[1].Consumer() {
				r := rpc.Command.(*raft.AppendEntriesRequest)
				rpc.Respond(&raft.AppendEntriesResponse{Term: r.Term,
					LastLog: r.Entries[0].Index + group, Success: true}, nil)
				if r.Term == 3 {
					return
				}
			}
		}()
		for term := range uint64(4) {
			var answer raft.AppendEntriesResponse
			ask := &raft.AppendEntriesRequest{Term: term,
				Entries: []*raft.Log{{Index: 10, Data: make([]byte, 1<<18)}}}
			if err := ends[0].AppendEntries("2", "2", ask, &answer); err != nil {
				t.Fatal(err)
			}
			if answer.Term != term || answer.LastLog != 10+group {
				t.Errorf("group %d answered %+v", group, answer)
			}
		}
	}
}
