package queue

import (
	"encoding/binary"
	"errors"
)

// rest records that no attempt is under way, so that the next owner need not take everything that is due for
// possibly attempted.
func (r *run) rest() error {
	data := binary.BigEndian.AppendUint64(appendCommand(nil, cmdRest, r.commandTime(nil)), r.session)
	if _, err := r.propose(r.ctx, data, nil); err != nil {
		return errors.Join(errors.New("queue: cannot record that it rests"), err)
	}
	return nil
}
