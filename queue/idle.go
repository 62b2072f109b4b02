package queue

import (
	"encoding/binary"
	"fmt"

	"github.com/postroad/postroad/queue/machine"
)

// markIdle records that no attempt is under way, so that the next owner need not take everything
// that is due for possibly attempted. All outcomes were recorded, unless the term was cut short.
func (r *run) markIdle() error {
	if err := r.ctx.Err(); err != nil {
		return fmt.Errorf("queue: stopped before it could record that it rests: %w", err)
	}
	data := binary.BigEndian.AppendUint64(
		machine.AppendCommand(nil, machine.CmdIdle, r.commandTime(nil)),
		r.session,
	)
	if _, err := r.propose(r.ctx, data, nil); err != nil {
		return fmt.Errorf("queue: cannot record that it rests: %w", err)
	}
	return nil
}
