package main

import (
	"cmp"
	"errors"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/internal/admin"
)

// This file is about a node that its cluster will not have: it was removed, its disk is another
// than the one that joined, or its program is too old. It ends with exit status 78, after which a
// service manager does not start it again, and with words that say what to do.

// lasting gives an error that no restart mends the exit status that says so.
func lasting(err error) error { return &admin.Error{Exit: admin.ExitConfig, Message: err.Error()} }

// failed ends the process when the storage or a state machine cannot go on.
func (n *node) failed(err error) {
	if errors.Is(err, cluster.ErrTooOld) {
		err = lasting(err)
	}
	var back *cluster.TakenBack
	if errors.As(err, &back) {
		err = cmp.Or(takenBack(n.store), err) // in all groups in which it knows
	}
	n.fail(n.damaged(err))
}

// mayTakePart returns why this node must not take part in its cluster, as far as its own state
// tells.
func (n *node) mayTakePart() error {
	if err := n.control.TooOld(protocol); err != nil {
		return err
	}
	return n.control.Admit(n.self.Member, n.self.Incarnation)
}

// goodbye is how long a node that is shut out says so, at /readyz and to its clients, before it
// stops.
const goodbye = 10 * time.Second

// shutOut is for when the cluster will not have this node any more, for good, and why. Others
// refuse it from now on, so it learns that from one of them more often than from its own state. It
// takes no more mail, and stops in good order.
func (n *node) shutOut(why error) {
	if !n.out.CompareAndSwap(nil, &why) {
		return
	}
	n.raise(alarm{event: "node_shut_out", member: n.self.Member, name: n.cfg.Node.Name, words: why.Error()})
	time.AfterFunc(goodbye, func() {
		select {
		case n.leave <- why:
		default:
		}
	})
}
