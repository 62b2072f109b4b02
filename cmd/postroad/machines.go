package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/queue"
)

// This file fits the state machines, which know no cluster, to the groups that run them.

type queueMachine struct {
	*queue.Queue
	room func(command []byte) error // why a forwarded command is not taken for want of room
}

func (m queueMachine) Apply(w *cluster.Writer, index, term uint64, data []byte, parts [][]byte) any {
	return m.Queue.Apply(w, index, term, data, parts)
}

func (m queueMachine) CheckForwarded(data []byte, parts [][]byte) error {
	if err := m.room(data); err != nil {
		return err
	}
	return queue.CheckForwarded(data, parts)
}

func (queueMachine) AppendResult(b []byte, result any) []byte { return queue.AppendResult(b, result) }
func (queueMachine) ParseResult(b []byte) (any, error)        { return queue.ParseResult(b) }

// controlMachine is two state machines in one group: whose command it is, its first octet says, and
// their rows have keys of their own.
type controlMachine struct {
	control *control.State
	users   *directory.Directory
}

// What a program does not know it does not apply (cluster.Versioned).
func (queueMachine) Understands(data []byte) error { return queue.Understands(data) }

func (m controlMachine) Understands(data []byte) error {
	if len(data) > 0 && data[0] == control.CommandVersion {
		return m.control.Understands(data, protocol)
	}
	return directory.Understands(data)
}

func (m controlMachine) Apply(w *cluster.Writer, index, term uint64, data []byte, parts [][]byte) any {
	if len(data) > 0 && data[0] == control.CommandVersion {
		return m.control.Apply(w, index, term, data, parts)
	}
	return m.users.Apply(w, index, term, data, parts)
}

func (m controlMachine) Committed() {
	m.control.Committed()
	m.users.Committed()
}

func (m controlMachine) Restored() {
	m.control.Restored()
	m.users.Restored()
}

// Answers that cross the network: what a directory answers is one octet or two, and no answer of
// the control state is that short.
func (controlMachine) AppendResult(b []byte, result any) []byte {
	if b, ok := directory.AppendResult(b, result); ok {
		return b
	}
	return control.AppendResult(b, result)
}

func (controlMachine) ParseResult(b []byte) (any, error) {
	if result, ok := directory.ParseResult(b); ok {
		return result, nil
	}
	return control.ParseResult(b)
}

// anywhere proposes at whoever leads a group.
type anywhere struct{ *cluster.Group }

func (g anywhere) Propose(ctx context.Context, data []byte, parts [][]byte) (any, error) {
	result, err := g.Forward(ctx, data, parts)
	return result, refusedAs(queue.ErrRefused, err)
}

// queueGroup is a group that this node leads, whose refusals the queue knows for what they are.
type queueGroup struct{ *cluster.Group }

func (g queueGroup) Propose(ctx context.Context, data []byte, parts [][]byte) (any, error) {
	result, err := g.Group.Propose(ctx, data, parts)
	return result, refusedAs(queue.ErrRefused, err)
}

// mailboxMachine is a shard of the mailboxes. Its commands come from its owner alone.
type mailboxMachine struct{ *mailbox.Store }

func (m mailboxMachine) Apply(w *cluster.Writer, index, term uint64, data []byte, parts [][]byte) any {
	return m.Store.Apply(w, index, term, data, parts)
}

// mailboxGroup is a group that this node leads, whose refusals the shard knows for what they are.
type mailboxGroup struct{ *cluster.Group }

func (g mailboxGroup) Propose(ctx context.Context, data []byte, parts [][]byte) (any, error) {
	result, err := g.Group.Propose(ctx, data, parts)
	return result, refusedAs(mailbox.ErrRefused, err)
}

// refusedAs makes the cluster's refusal one that a state knows for what it is.
func refusedAs(refusal, err error) error {
	if errors.Is(err, cluster.ErrRefused) {
		return fmt.Errorf("%w: %w", refusal, err)
	}
	return err
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
