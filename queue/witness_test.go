package queue

import (
	"maps"

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
	var c command
	if err := c.decode(data); err != nil {
		v.w.t.Fatal(err)
	}
	switch r := result.(type) {
	case epochResult:
		if r.index != 0 {
			v.epoch = index
		}
	case settleResult:
		if !r.ok {
			v.refused = append(v.refused, index)
		}
		if r.ok != (c.session == v.epoch) {
			v.w.t.Errorf("outcomes of session %d at %d, in that of %d: ok %v", c.session, index,
				v.epoch, r.ok)
		}
	}
}

// follow applies what was decided; a refused settle command must have changed nothing but the meta
// row.
func (v *witness) follow() {
	for at := int(v.rows.Now().Index); at < len(v.w.group.Log()); at++ {
		n, before := len(v.refused), map[string]string(nil)
		if kindOf(v.w.group.Log()[at].Data) == cmdSettle {
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
		if k[0] != keyMeta {
			rows[string(k)] = string(v)
		}
	})
	return rows
}
