package node

import (
	"errors"
	"fmt"
	"strings"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/queue"
)

// This file is about a node that has what its groups' leaders lack, though it was committed: other
// nodes' disks were rolled back. It stops with exit status 70 and names what is at stake, at this
// start and at every other, until the operator has acted.

// stakeListed is how many messages are named one by one.
const stakeListed = 100

// takenBack returns why this node must not start: what it had stopped for before.
func takenBack(store *cluster.Node) error {
	all, err := store.TakenBack()
	if err != nil || len(all) == 0 {
		return err
	}
	var words []string
	for _, e := range all {
		words = append(words, stakeOf(store, e))
	}
	return &api.Error{
		Exit:    api.ExitSoftware,
		Message: strings.Join(words, "\n"),
		Hint:    takenBackHint,
	}
}

const takenBackHint = "Keep this data directory: it is the only place that has these, and " +
	"perhaps more in groups that it had not met when it stopped: `postroad queue salvage " +
	"--list` names all. " +
	"Find out whose disk was put back; then `postroad queue salvage` puts what is at stake into " +
	"the cluster again, " +
	"while the other nodes run, and this node can be started; docs/cluster.md (\"A disk that " +
	"was rolled back\") says more"

// stakeOf says what of one group is at stake.
func stakeOf(store *cluster.Node, e *cluster.TakenBack) string {
	state, group := control.New(), store.Group(e.Group)
	about, known := control.Group{}, false
	if err := state.Load(store.Group(cluster.ControlGroup)); err == nil {
		about, known = state.Group(e.Group)
	}
	var stake queue.Stake
	var b strings.Builder
	b.WriteString(e.Error())
	commands, unread := 0, error(nil)
	err := group.Entries(e.From, func(index uint64, data []byte) bool {
		commands++
		if e.Group != cluster.ControlGroup && (!known || about.Kind == control.KindQueue) &&
			unread == nil {
			unread = stake.Add(data)
		}
		return true
	})
	switch {
	case e.Group == cluster.ControlGroup:
		fmt.Fprintf(&b, "\nat stake: %d changes of users, members and settings", commands)
	case known && about.Kind == control.KindMailbox:
		fmt.Fprintf(
			&b,
			"\nat stake: %d changes of the mailboxes of shard %d, new mail among them",
			commands,
			about.Shard,
		)
	default:
		messages := stake.Messages()
		fmt.Fprintf(
			&b,
			"\nat stake: %d messages that no other node may have, and %d changes of others",
			len(messages),
			stake.Others,
		)
		for i, m := range messages {
			if i == stakeListed {
				fmt.Fprintf(&b, "\n  and %d more", len(messages)-i)
				break
			}
			held := ""
			if m.Held {
				held = ", held"
			}
			fmt.Fprintf(
				&b,
				"\n  %v from <%s>, %d of %d recipients not delivered%s",
				m.ID,
				m.Sender,
				m.Open,
				m.Recipients,
				held,
			)
		}
	}
	if err := errors.Join(err, unread); err != nil {
		fmt.Fprintf(&b, "\nnot all could be read: %v", err)
	}
	return b.String()
}
