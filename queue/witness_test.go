package queue

import (
	"maps"

	"github.com/postroad/postroad/queue/machine"
	"github.com/postroad/postroad/queue/queuetest"
)

// witness is a member that never leads. It holds each settle command against who owned the queue
// when it was applied.
type witness struct {
	w       *owners
	rows    *queuetest.Member
	epoch   uint64
	refused []uint64 // indexes of outcomes that came too late
}

func newWitness(w *owners) *witness {
	v := &witness{w: w}
	q := New(Options{})
	m := machineOf(q)
	apply := m.Apply
	m.Apply = func(wr *queuetest.Writer, index, term uint64, data []byte, parts [][]byte) any {
		result := apply(wr, index, term, data, parts)
		v.see(index, data, result)
		return result
	}
	v.rows = w.group.Join(m, nil)
	return v
}

func (v *witness) see(index uint64, data []byte, result any) {
	var c machine.Command
	if err := c.Decode(data); err != nil {
		v.w.t.Fatal(err)
	}
	switch r := result.(type) {
	case machine.EpochResult:
		if r.Index != 0 {
			v.epoch = index
		}
	case machine.SettleResult:
		if !r.Ok {
			v.refused = append(v.refused, index)
		}
		if r.Ok != (c.Session == v.epoch) {
			v.w.t.Errorf("outcomes of session %d at %d, in that of %d: ok %v", c.Session, index,
				v.epoch, r.Ok)
		}
	}
}

// follow applies what was decided; a refused settle command must have changed nothing but the meta
// row.
func (v *witness) follow() {
	for at := int(v.rows.Now().Index); at < len(v.w.group.Log()); at++ {
		n, before := len(v.refused), map[string]string(nil)
		if kindOf(v.w.group.Log()[at].Data) == machine.CmdSettle {
			before = dump(v.rows)
		}
		v.w.group.Follow(v.rows, 1)
		if len(v.refused) > n && !maps.Equal(before, dump(v.rows)) {
			v.w.t.Errorf("refused outcomes at %d changed something", v.refused[n])
		}
	}
}

// dump is all rows but the meta row.
func dump(m *queuetest.Member) map[string]string {
	rows := map[string]string{}
	m.Now().Rows(func(k, v []byte) {
		if k[0] != machine.KeyMeta {
			rows[string(k)] = string(v)
		}
	})
	return rows
}
