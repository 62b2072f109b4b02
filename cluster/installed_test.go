package cluster

import (
	"bytes"
	"testing"

	"github.com/hashicorp/raft"
)

// TestSnapshotComesTwice: a member that has a snapshot and entries after it keeps both when its
// leader sends that snapshot once more, and takes over no state for it.
func TestSnapshotComesTwice(t *testing.T) {
	t.Parallel()
	m := newMany(t, 2)
	m.onFailure = func(err error) { t.Errorf("a member stopped: %v", err) }
	one, two := m.takeOver()
	n := 400
	has, err := two.g.loadMarker()
	for last, _ := two.g.log.Last(); err == nil && last < has.index+5; last, _ = two.g.log.Last() {
		m.put(one, n, 1)
		n++
		m.verify(two, n)
		has, err = two.g.loadMarker()
	}
	if err != nil {
		t.Fatal(err)
	}
	last, _ := two.g.log.Last()
	side := two.g.state.Side()
	content := has.encode()
	q := &raft.InstallSnapshotRequest{
		RPCHeader:          rpcHeader(one.g.serverID()),
		SnapshotVersion:    raft.SnapshotVersionMax,
		Term:               one.g.raft.CurrentTerm(),
		Leader:             []byte(one.g.self()),
		LastLogIndex:       has.index,
		LastLogTerm:        has.term,
		Configuration:      has.configuration,
		ConfigurationIndex: has.configIndex,
		Size:               int64(len(content)),
	}
	again := func(when string) {
		t.Helper()
		var answer raft.InstallSnapshotResponse
		id := serverID(2)
		err := one.g.transport.InstallSnapshot(id, raft.ServerAddress(id), q, &answer,
			bytes.NewReader(content))
		if err != nil || !answer.Success {
			t.Errorf("%s: the answer is %+v, %v", when, answer, err)
		}
	}
	again("once more")
	if err := two.g.mark(false, 0); err != nil {
		t.Fatal(err)
	}
	if m, err := two.g.loadMarker(); err != nil || m.index <= has.index {
		t.Fatalf("its own marker is %+v, %v", m, err)
	}
	again("after a marker of its own")
	if now, _ := two.g.log.Last(); now < last {
		t.Errorf("the log ended at %d, and ends at %d", last, now)
	}
	if now := two.g.state.Side(); now != side {
		t.Error("it has taken over the state again")
	}
	if a, err := two.g.state.Staged(); a != 0 || err != nil {
		t.Errorf("a state lies aside, as of %d, %v", a, err)
	}
	m.put(one, n, 10)
	m.verify(two, n+10)
}
