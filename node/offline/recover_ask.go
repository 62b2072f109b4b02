package offline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/node/internal/peer"
	"github.com/postroad/postroad/operate/admin/api"
)

// Before a recovery changes anything it asks the members that this node knows of: while their
// control group has a leader the cluster goes on, and what goes on here alone would be a second
// one.

const (
	recoverAsk      = 3 * time.Second // for an answer
	recoverPatience = 8 * time.Second // for an election among those that answer
	recoverPause    = 250 * time.Millisecond
)

// mayAccept returns why this node must not go on alone.
func (r *recovery) mayAccept(ctx context.Context) error {
	notes := member.NotesOf(r.file, r.cfg)
	// With the note of another cluster a recovery before this one was cut off.
	if note, _ := notes.Read(); note != nil && note.Cluster == r.self.Cluster {
		if err := notes.MayGoOn(r.self, r.store); err != nil {
			return err
		}
	}
	for until := time.Now().Add(recoverPatience); ; {
		answers := r.askOthers(ctx)
		if err := r.goesOn(answers); err != nil {
			return err
		}
		answered := func(a answer) bool { return a.err == nil }
		if !slices.ContainsFunc(answers, answered) || time.Now().After(until) {
			r.tellSilent(answers)
			return ctx.Err()
		}
		if !clock.Pause(ctx, recoverPause) {
			return ctx.Err()
		}
	}
}

// answer is what a member said, or why it said nothing.
type answer struct {
	member uint16
	report peer.Report
	err    error
}

// goesOn returns why the others' answers forbid a recovery: one of them knows a leader, or that
// this node was let go.
func (r *recovery) goesOn(answers []answer) error {
	for _, a := range answers {
		if errors.Is(a.err, wire.ErrFinal) {
			return &api.Error{
				Exit: api.ExitData,
				Message: fmt.Sprintf("the cluster goes on without this node; %s says: %v; "+
					"nothing was changed", r.named(a.member), a.err),
				Hint: "to bring the machine back, empty its data directory and join again",
			}
		}
		for _, g := range a.report.Groups {
			if g.Group != cluster.ControlGroup || g.Leader == 0 || g.Leader == r.self.Member {
				continue
			}
			return &api.Error{
				Exit: api.ExitData,
				Message: fmt.Sprintf("the cluster goes on: %s answers, and says that %s leads; "+
					"nothing was changed", r.named(a.member), r.named(g.Leader)),
				Hint: "start this node as usual; if its disk is bad, " +
					"join a new node under another " +
					"name and run `postroad cluster replace " + r.cfg.Node.Name +
					" NEW`. To give the others up all the same, stop them first",
			}
		}
	}
	return nil
}

// tellSilent says who was asked and did not answer.
func (r *recovery) tellSilent(answers []answer) {
	for _, a := range answers {
		if a.err != nil {
			r.tellf("%s was asked, and does not answer: %v", r.named(a.member), a.err)
		}
	}
}

// askOthers asks all others at once how they are.
func (r *recovery) askOthers(ctx context.Context) []answer {
	ctx, cancel := context.WithTimeout(ctx, recoverAsk)
	defer cancel()
	var all sync.WaitGroup
	answers := make([]answer, 0, len(r.others()))
	for _, member := range r.others() {
		answers = append(answers, answer{member: member})
		a := &answers[len(answers)-1]
		all.Go(func() { a.err = r.ask(ctx, member, &a.report) })
	}
	all.Wait()
	return answers
}

func (r *recovery) ask(ctx context.Context, member uint16, into *peer.Report) error {
	return cluster.CallThrough(
		ctx, r.port, member, http.MethodGet, peer.ReportPath, nil,
		func(body io.Reader) error {
			return json.NewDecoder(io.LimitReader(body,
				8<<20)).Decode(into)
		},
	)
}

// others are the members that this node's rows or its address book have, the book also those whose
// rows are only in the log.
func (r *recovery) others() []uint16 {
	all := map[uint16]bool{}
	for _, id := range r.book.Members() {
		m, _ := r.state.Member(id) // the book keeps the addresses of those that were removed
		all[id] = m.State != control.Removed
	}
	for _, m := range r.state.Members() {
		all[m.ID] = true
	}
	maps.DeleteFunc(all, func(id uint16, in bool) bool { return !in || id == r.self.Member })
	return slices.Sorted(maps.Keys(all))
}

func (r *recovery) addressOf(member uint16) (string, bool) {
	if m, ok := r.state.Member(member); ok && m.Address != "" {
		return m.Address, true
	}
	address := r.book.Of(member)
	return address, address != ""
}

func (r *recovery) named(member uint16) string {
	if m, ok := r.state.Member(member); ok {
		return fmt.Sprintf("%s (member %d)", m.Name, member)
	}
	return fmt.Sprintf("member %d", member)
}
