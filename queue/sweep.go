package queue

import (
	"fmt"
	"time"

	"github.com/postroad/postroad/internal/codec"
	"github.com/postroad/postroad/queue/machine"
)

// The owner looks for what was given up this often; a command drops this much at once.
const (
	sweepEvery = 5 * time.Minute
	sweepMost  = 1000
)

// sweep drops chunks of large messages that were given up and what is remembered of slots of the
// past.
func (r *run) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-tick.C:
			for more := true; more && r.ctx.Err() == nil; {
				more, _ = r.sweepOnce() // an error will be met again, or stop the process elsewhere
			}
		}
	}
}

// sweepOnce proposes one sweep if there is something to drop, and reports whether there may be
// more.
func (r *run) sweepOnce() (more bool, err error) {
	now := r.clock.Now()
	chunks, err := r.orphans(now)
	if err != nil {
		return false, err
	}
	session, err := r.oldSessions(now)
	if err != nil || len(chunks) == 0 && session == 0 {
		return false, err
	}
	data := machine.AppendSweep(machine.AppendCommand(nil, machine.CmdSweep, now.UnixMilli()),
		session, chunks)
	_, err = r.propose(r.ctx, data, nil)
	return err == nil && len(chunks) == sweepMost, err
}

// orphans lists chunks whose message is too old to be still coming.
func (r *run) orphans(now time.Time) (found []machine.ChunkRef, err error) {
	from, to := []byte{machine.KeyChunk}, []byte{machine.KeyChunk + 1}
	err = r.group.Scan(from, to, func(k, _ []byte) bool {
		id, seq, ok := machine.ParseChunkKey(k)
		if !ok || len(found) == sweepMost || !id.Time().Before(now.Add(-machine.OrphanAge)) {
			return false // IDs sort by time: the rest is younger
		}
		found = append(found, machine.ChunkRef{ID: id, Seq: seq})
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("look for orphaned chunks: %w", err)
	}
	return found, nil
}

// oldSessions returns the first session whose slots are still needed, or 0 when no older one is
// there.
func (r *run) oldSessions(now time.Time) (session uint64, err error) {
	old := false
	var bad error
	err = r.group.Scan([]byte{machine.KeySlot}, []byte{machine.KeySlot + 1},
		func(k, v []byte) bool {
			d := machine.Decoder{Decoder: codec.New(k[1:])}
			row, err := machine.DecodeSlotRow(v)
			session, bad = d.Uint64(), err
			if session == r.session || row.Time >= now.Add(-machine.AcceptMemory).UnixMilli() {
				return false
			}
			old, session = true, session+1
			return bad == nil
		})
	if err != nil || bad != nil || !old {
		return 0, err
	}
	return session, nil
}
