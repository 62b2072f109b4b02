package node

import (
	"context"
	"fmt"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/operate/admin/api"
)

// suspensionWatch follows the suspensions: it notes what has changed, has this node's groups take
// over what they have not, and ends what is over.
type suspensionWatch struct {
	n       *node
	version uint64                        // that was logged
	inForce map[uint64]control.Suspension // which were in it, by serial
	began   time.Time                     // when it looked first: what was before is no news
}

// look does what is due.
func (w *suspensionWatch) look(ctx context.Context, do member.Do) {
	n := w.n
	if w.began.IsZero() {
		w.began = n.suspender.Now()
	}
	version, all := n.control.Suspensions()
	if version == 0 {
		return
	}
	if w.version != version {
		w.note(all)
		w.version = version
	}
	for _, h := range n.queues.List() {
		if h.tenure.Load() == nil {
			continue
		}
		if have, err := h.queue.Suspensions(); err == nil && have.Version < version {
			do(h.group.ID(), "taking over suspensions", func() error {
				_, err := n.operator.Obey(ctx, operated{h})
				return err
			})
		}
	}
	if n.store.Group(cluster.ControlGroup).Leading() == 0 {
		return
	}
	for _, s := range all {
		if !s.Until.IsZero() && !s.Until.After(n.suspender.Now()) {
			do(cluster.ControlGroup, "ending a suspension",
				func() error { return n.suspender.Expire(ctx, s) })
			return // the next one in the next round
		}
	}
}

// note logs what has begun and what has ended.
func (w *suspensionWatch) note(all []control.Suspension) {
	n, now := w.n, map[uint64]control.Suspension{}
	for _, s := range all {
		now[s.Serial] = s
		if _, known := w.inForce[s.Serial]; !known {
			ends := (&api.Suspension{Until: api.At(s.Until)}).Ends()
			if w.began.Sub(s.Since) > clocksDiffer {
				n.log.Logf("%s %s is suspended since %s %s: %s", s.Kind, s.Name,
					s.Since.Format(time.RFC3339), ends, s.Reason)
				continue
			}
			n.announce("suspended", true, suspensionFields(s),
				fmt.Sprintf("%s %s is suspended %s: %s", s.Kind, s.Name, ends, s.Reason))
		}
	}
	for serial, s := range w.inForce {
		if _, still := now[serial]; still {
			continue
		}
		event, words := "resumed", "is resumed"
		if !s.Until.IsZero() && s.Until.Sub(n.suspender.Now()) < clocksDiffer {
			event, words = "suspension_over", "is not suspended any more: the time is over"
		}
		n.announce(event, true, suspensionFields(s), fmt.Sprintf("%s %s %s", s.Kind, s.Name, words))
	}
	w.inForce = now
}

// clocksDiffer is how far the clock of whoever ended a suspension whose time was over may be ahead
// of ours.
const clocksDiffer = 5 * time.Second

func suspensionFields(s control.Suspension) []maillog.Field {
	fields := []maillog.Field{{Name: "kind", Value: s.Kind}, {Name: "name", Value: s.Name},
		{Name: "since", Value: s.Since.Format(time.RFC3339)}}
	if !s.Until.IsZero() {
		fields = append(fields, maillog.Field{Name: "until", Value: s.Until.Format(time.RFC3339)})
	}
	return fields
}
