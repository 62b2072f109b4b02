package offline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/node/internal/controlgroup"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/queue"
)

// salvageNote is how far the salvage of a group is.
type salvageNote struct {
	From   uint64  `json:"from"`             // only this node has what came from this entry on
	After  mail.ID `json:"after,omitzero"`   // messages up to it are in the cluster
	Put    int     `json:"put,omitempty"`    // so many
	Serial uint64  `json:"serial,omitempty"` // of the batch that was begun last
	Target uint64  `json:"target,omitempty"` // the group that it goes to; 0: it has ended
	// all there, to become the group's own; none: not yet
	IDs []mail.ID `json:"ids,omitempty"`
}

// machine is the state machine that makes a group's state that of the end of its log.
func (s *salvager) machine(p *parted) cluster.StateMachine {
	switch p.about.Kind {
	case control.KindControl:
		return controlgroup.Machine{Control: control.New(), Users: directory.New()}
	case control.KindMailbox:
		return mailbox.New(mailbox.Options{Shard: p.about.Shard, Shards: max(1, s.shards())})
	}
	return queue.New(queue.Options{Member: s.self.Member})
}

func (s *salvager) shards() (n int) {
	for _, g := range s.living.Groups {
		if g.Kind == control.KindMailbox {
			n++
		}
	}
	return max(n, len(s.own.Shards()))
}

// salvage brings what is at stake in one group into safety.
func (s *salvager) salvage(ctx context.Context, p *parted) error {
	s.tell(
		fmt.Sprintf(
			"%s: the newest part of it only this node has (from entry %d on)",
			s.name(p.Group),
			p.note.From,
		),
	)
	switch p.about.Kind {
	case control.KindControl:
		return s.salvageControl(p)
	case control.KindMailbox:
		return s.salvageBoxes(ctx, p)
	}
	return s.salvageQueue(ctx, p)
}

// salvageControl names changes that the cluster does not have: whether they are still wanted only
// the operator knows.
func (s *salvager) salvageControl(p *parted) error {
	return p.group.Entries(p.note.From, func(_ uint64, data []byte) bool {
		words := ""
		if len(data) > 0 && data[0] == control.CommandVersion {
			words = s.own.Describe(data)
		} else {
			words = directory.Describe(data)
		}
		if words != "" {
			s.print(
				"change that the cluster lost, to be made again if it is still wanted: " +
					cli.Clean(
						words,
					),
			)
		}
		return true
	})
}

// salvageQueue puts the messages of a queue group in again, a batch after the other.
func (s *salvager) salvageQueue(ctx context.Context, p *parted) error {
	q := queue.New(queue.Options{Member: s.self.Member})
	q.Open(p.group)
	if err := s.endBatch(ctx, p); err != nil {
		return err
	}
	s.put += p.note.Put
	for {
		var batch []*queue.Stranded
		err := q.Stranded(p.note.From, p.note.After, func(m *queue.Stranded) bool {
			batch = append(batch, m)
			return len(batch) < queue.HandOverMessages
		})
		if err != nil {
			return fmt.Errorf("%s: %w", s.name(p.Group), err)
		}
		if len(batch) == 0 {
			return nil
		}
		if s.List {
			p.note.After = batch[len(batch)-1].ID
		} else if err := s.putIn(ctx, p, q, batch); err != nil {
			return err
		}
		for _, m := range batch {
			held := ""
			if m.Held {
				held = ", held"
			}
			s.print(
				fmt.Sprintf(
					"%v from <%s>, %d of %d recipients not delivered%s",
					m.ID,
					cli.Clean(m.Sender),
					m.Open,
					m.Recipients,
					held,
				),
			)
		}
		s.put += len(batch)
	}
}

// putIn puts one batch in.
func (s *salvager) putIn(
	ctx context.Context,
	p *parted,
	q *queue.Queue,
	batch []*queue.Stranded,
) error {
	target, err := s.target(p)
	if err != nil {
		return err
	}
	p.note.Target, p.note.Serial = target, max(p.note.Serial+1, uint64(time.Now().UnixMilli()))
	if err := s.keep(p); err != nil {
		return err
	}
	ids := make([]mail.ID, len(batch))
	for i, m := range batch {
		ids[i] = m.ID
	}
	if err := s.insist(ctx, func() error { return s.batch(p).Bring(ctx, q, ids) }); err != nil {
		return err
	}
	p.note.IDs = ids
	if err := s.keep(p); err != nil {
		return err
	}
	return s.endBatch(ctx, p)
}

// endBatch ends a batch that was begun, by this run or one before: what is there as a whole becomes
// the group's own, else it is dropped there.
func (s *salvager) endBatch(ctx context.Context, p *parted) error {
	if p.note.Target == 0 || s.List {
		return nil
	}
	// Nothing that a group has put aside lets it go, so one that is gone has ended the batch or
	// never seen it.
	if !s.gone(p.note.Target) {
		if err := s.insist(ctx, func() error {
			return s.batch(p).Finish(ctx, p.note.IDs)
		}); err != nil {
			return err
		}
		if n := len(p.note.IDs); n > 0 {
			p.note.After, p.note.Put = p.note.IDs[n-1], p.note.Put+n
		}
	}
	p.note.Target, p.note.IDs = 0, nil
	return s.keep(p)
}

func (s *salvager) batch(p *parted) *queue.Salvage {
	return &queue.Salvage{
		Source: queue.SalvageSource(s.self.Member, p.Group),
		Serial: p.note.Serial,
		To:     livingGroup{s, p.note.Target},
	}
}

func (s *salvager) gone(group uint64) bool {
	g := s.about(group)
	return g.State == control.GroupRetired
}

// target is where messages go: to the group that they were in, which knows them if it has them, or
// to another one that takes mail.
func (s *salvager) target(p *parted) (uint64, error) {
	if p.about.State == control.GroupServing {
		return p.Group, nil
	}
	for _, g := range s.living.Groups {
		if g.Kind == control.KindQueue && g.State == control.GroupServing {
			return g.ID, nil
		}
	}
	return 0, &api.Error{
		Exit:    api.ExitTemporary,
		Message: "no node of the cluster takes mail",
		Hint:    "bring one up, or let one join, then repeat this command",
	}
}

// livingGroup is a queue group of the living cluster.
type livingGroup struct {
	s     *salvager
	group uint64
}

// proposalTime bounds a proposal at one member: one that hangs is not waited for.
const proposalTime = 10 * time.Second

// Propose asks the members one after the other, the one that took the last first: who does not lead
// the group refuses. What is proposed may be applied twice.
func (l livingGroup) Propose(ctx context.Context, data []byte, parts [][]byte) (any, error) {
	all := fmt.Errorf("%w: group %d has no leader that answers", queue.ErrRefused, l.group)
	members := l.s.members()
	if i := slices.Index(members, l.s.took); i > 0 {
		members[0], members[i] = members[i], members[0]
	}
	for _, member := range members {
		one, cancel := context.WithTimeout(ctx, proposalTime)
		result, err := l.s.store.ProposeAt(one, member, l.group, queue.ParseResult, data, parts)
		cancel()
		if err == nil {
			l.s.took = member
			return result, nil
		}
		all = errors.Join(all, err)
	}
	return nil, all
}
