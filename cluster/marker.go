package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/hashicorp/raft"
)

// marker is what raft takes for a snapshot: it says that the state as of index is on stable storage
// in Pebble, so that the log up to there may go. It is of constant size but for the configuration,
// and lives in the log store among raft's stable values.
type marker struct {
	index, term   uint64
	configIndex   uint64
	applied       uint64 // what Pebble must have at least: index without raft's own entries
	configuration []byte
}

const (
	markerKey     = "marker"
	markerVersion = 1
	markerHead    = 33
)

var (
	errBadMarker = errors.New("malformed marker")
	castagnoli   = crc32.MakeTable(crc32.Castagnoli)
)

func (m *marker) encode() []byte {
	b := []byte{markerVersion}
	for _, v := range []uint64{m.index, m.term, m.configIndex, m.applied} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = append(b, m.configuration...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeMarker(b []byte) (*marker, error) {
	n := len(b) - 4
	if n < markerHead || b[0] != markerVersion ||
		crc32.Checksum(b[:n], castagnoli) != binary.LittleEndian.Uint32(b[n:]) {
		return nil, errBadMarker
	}
	m := &marker{configuration: b[markerHead:n]}
	for i, v := range []*uint64{&m.index, &m.term, &m.configIndex, &m.applied} {
		*v = binary.LittleEndian.Uint64(b[1+8*i:])
	}
	return m, nil
}

// loadMarker returns the group's marker, nil when it has none.
func (g *Group) loadMarker() (*marker, error) {
	b, err := g.log.Get([]byte(markerKey))
	if err != nil || len(b) == 0 {
		return nil, err
	}
	return decodeMarker(b)
}

// markers implements raft.SnapshotStore.
type markers struct{ g *Group }

// Create implements raft.SnapshotStore.
func (s markers) Create(
	_ raft.SnapshotVersion, index, term uint64, c raft.Configuration, configIndex uint64,
	_ raft.Transport,
) (raft.SnapshotSink, error) {
	m := marker{index: index, term: term, configIndex: configIndex,
		configuration: raft.EncodeConfiguration(c)}
	return &markerSink{g: s.g, m: m}, nil
}

// List implements raft.SnapshotStore.
func (s markers) List() ([]*raft.SnapshotMeta, error) {
	m, err := s.g.loadMarker()
	if err != nil || m == nil {
		return nil, err
	}
	return []*raft.SnapshotMeta{m.meta()}, nil
}

func (m *marker) meta() *raft.SnapshotMeta {
	return &raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, ID: fmt.Sprintf("%d-%d", m.term, m.index), Index: m.index,
		Term:          m.term,
		Configuration: raft.DecodeConfiguration(m.configuration), ConfigurationIndex: m.configIndex,
		Size: int64(len(m.encode())),
	}
}

// Open implements raft.SnapshotStore. What it gives out is the marker itself.
func (s markers) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	m, err := s.g.loadMarker()
	if err != nil {
		return nil, nil, err
	}
	if m == nil || m.meta().ID != id {
		return nil, nil, fmt.Errorf("no marker %s in group %d", id, s.g.id)
	}
	return m.meta(), io.NopCloser(bytes.NewReader(m.encode())), nil
}

// markerSnapshot implements raft.FSMSnapshot.
type markerSnapshot struct {
	g       *Group
	applied uint64
}

// Persist makes the state durable; what raft does next (Close of the sink) makes the marker
// durable.
func (s markerSnapshot) Persist(sink raft.SnapshotSink) error {
	sink.(*markerSink).m.applied = s.applied
	return s.g.node.state.Flush()
}

// Release implements raft.FSMSnapshot.
func (markerSnapshot) Release() {}

// markerSink implements raft.SnapshotSink.
type markerSink struct {
	g        *Group
	m        marker
	received int // octets of another member's marker
	canceled bool
}

// ID implements raft.SnapshotSink.
func (s *markerSink) ID() string { return s.m.meta().ID }

// Write implements raft.SnapshotSink. Only a member that is sent a snapshot gets here. What the
// other's marker says is in raft's request, too.
func (s *markerSink) Write(p []byte) (int, error) { s.received += len(p); return len(p), nil }

// Cancel implements raft.SnapshotSink.
func (s *markerSink) Cancel() error { s.canceled = true; return nil }

// Close implements raft.SnapshotSink.
func (s *markerSink) Close() error {
	if s.canceled {
		return nil
	}
	if s.received > 0 {
		if err := s.taken(); err != nil {
			return err
		}
	}
	values := map[string][]byte{markerKey: s.m.encode()}
	if s.received > 0 {
		s.g.tabling.Lock()
		defer s.g.tabling.Unlock()
		terms, err := s.g.takeTerms(s.m.index)
		if err != nil {
			return err
		}
		values[termsKey] = terms
	}
	if err := s.g.log.SetAll(values); err != nil {
		return err
	}
	s.g.log.Compactable(s.m.index)
	return nil
}

// taken checks that the state behind another member's marker is here: aside, or in place already.
func (s *markerSink) taken() error {
	staged, err := s.g.state.Staged()
	if err != nil {
		return err
	}
	switch applied := s.g.fsm.appliedIndex.Load(); {
	case staged >= s.m.index && staged > applied:
		s.m.applied = staged
	case applied >= s.m.index:
		s.m.applied = applied
	default:
		return fmt.Errorf(
			"the state of group %d as of entry %d was not taken over before its marker came",
			s.g.id, s.m.index)
	}
	return nil
}
