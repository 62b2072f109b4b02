package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/queue"
)

// This file fits the state machines, which know no cluster, to the groups that run them.

type queueMachine struct{ *queue.Queue }

func (m queueMachine) Apply(w *cluster.Writer, index, term uint64, data []byte, parts [][]byte) any {
	return m.Queue.Apply(w, index, term, data, parts)
}

type usersMachine struct{ *directory.Directory }

func (m usersMachine) Apply(w *cluster.Writer, index, term uint64, data []byte, parts [][]byte) any {
	return m.Directory.Apply(w, index, term, data, parts)
}

// queueGroup is a group whose refusals the queue knows for what they are.
type queueGroup struct{ *cluster.Group }

func (g queueGroup) Propose(ctx context.Context, data []byte, parts [][]byte) (any, error) {
	result, err := g.Group.Propose(ctx, data, parts)
	if errors.Is(err, cluster.ErrRefused) {
		err = fmt.Errorf("%w: %w", queue.ErrRefused, err)
	}
	return result, err
}

// announcer logs each message that enters the queue before the scheduler hears of it.
type announcer struct {
	*delivery.Scheduler
	log maillog.Sink
}

func (a announcer) Accepted(items []queue.Item) {
	var last mail.ID // the items of one message are neighbours
	for i := range items {
		if m := items[i].Message; m.ID != last {
			last = m.ID
			a.log.Queued(m.ID, m.Envelope.Sender, m.Size, len(m.Envelope.Recipients))
		}
	}
	a.Scheduler.Accepted(items)
}
