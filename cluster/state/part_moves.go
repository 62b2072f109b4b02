package state

import (
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postroad/postroad/cluster/logstore"
)

// MoveParts moves what a segment of the log has of this state, of the entries that were found in
// it, so that the segment can be used again. What cannot be read stays.
func (r *Rows) MoveParts(found []logstore.Located) error { return r.parts.move(found) }

// move gives those of the entries that are alive, and still where they were found, a new place.
func (p *partRefs) move(found []logstore.Located) error {
	const moveBytes = 1 << 20
	for len(found) > 0 {
		var moving []logstore.Moving
		octets := int64(0)
		for len(found) > 0 && octets < moveBytes {
			m, err := p.prepareMove(found[0])
			if err != nil {
				return err
			}
			if m != nil {
				moving = append(moving, *m)
				octets += m.Keep
			}
			found = found[1:]
		}
		if len(moving) == 0 {
			return nil
		}
		if err := p.of.log.Move(moving); err != nil {
			return err
		}
		moving = slices.DeleteFunc(moving, func(m logstore.Moving) bool {
			if m.Err != nil {
				p.of.store.opts.Logf("content cannot be moved: %v", m.Err)
			}
			return m.Err != nil
		})
		if err := p.moved(moving); err != nil {
			return err
		}
	}
	return nil
}

func (p *partRefs) prepareMove(f logstore.Located) (*logstore.Moving, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, err := p.loadLocked(f.Index)
	if err != nil || e == nil || e.place.Segment != f.Place.Segment || e.place.Pos != f.Place.Pos ||
		e.count() == 0 {
		return nil, err
	}
	snapshot := keptEntry{live: append([]uint64(nil), e.live...)}
	return &logstore.Moving{Index: f.Index, Old: e.place, Live: snapshot.has, Keep: e.kept()}, nil
}

// moved points the rows at the new places. A row that the batch under way has changed is left to
// that batch.
func (p *partRefs) moved(moving []logstore.Moving) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	batch := p.of.store.db.NewBatch()
	defer batch.Close()
	release := func(segment uint64, octets int64) error {
		if octets == 0 {
			return nil
		}
		return p.of.store.opts.Log.Keep(segment, -octets)
	}
	for _, m := range moving {
		e, err := p.loadLocked(m.Index)
		if err != nil {
			return err
		}
		if e == nil { // dropped meanwhile
			if err := release(m.New.Segment, m.Keep); err != nil {
				return err
			}
			continue
		}
		old := e.place
		e.place, e.table = m.New, nil
		if !e.dirty {
			if err := batch.Set(appendPartsKey(nil, p.of.id, p.side, m.Index), e.encode(nil),
				nil); err != nil {
				return err
			}
		}
		// The old segment's count now goes to the new one, which has counted Keep
		// already.
		if err := errors.Join(release(m.New.Segment, m.Keep-e.counted),
			release(old.Segment, e.counted)); err != nil {
			return err
		}
	}
	return batch.Commit(pebble.NoSync)
}
