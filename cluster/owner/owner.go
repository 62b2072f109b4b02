// Package owner makes a node the owner of raft groups. Who owns a group does all that is done with
// what is in it. A term of ownership begins when the node leads the group, and ends when it leads
// it no more: lost, or given away in good order. Terms of one group follow each other and never
// overlap.
//
// The package knows of a group only who leads it, and of a term only how it begins and ends. That
// nobody else owns the group at the same time is not decided here: the group's lease says so
// (package cluster), and what a term does asks it.
package owner

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Group is what an Owner needs of a raft group; a *cluster.Group is one.
type Group interface {
	ID() uint64
	// Leading returns the term in which this node leads the group; 0: it does not.
	Leading() uint64
	// OnTransfer sets what is called before the leadership is given to another member. An error
	// keeps it here.
	OnTransfer(yield func(context.Context) error)
}

// Term is one term of ownership. It is ended by one of Finish and Abandon, or by both, and then
// Over is called.
type Term interface {
	Number() uint64 // raft's
	// in good order: what is under way is finished, until ctx ends
	Finish(ctx context.Context) error
	// it was lost: nothing more is settled. It may cut a Finish short
	Abandon()
	Over()
}

// Options say what an Owner does.
type Options struct {
	Group Group
	// Begin begins a term and returns it, also beside an error if there is something to be ended;
	// nil: the term has ended already. It returns soon after ctx ends, which the term's end does.
	Begin func(ctx context.Context, term uint64) (Term, error)
	// YieldTime bounds how long what is under way is waited for when the leadership is given away,
	// StopTime when the Owner is stopped.
	YieldTime, StopTime time.Duration
	Logf, Errorf        func(format string, args ...any)
}

// Owner makes this node the owner of a group as often as it leads it: terms begin and end, one
// after the other, as the leadership comes, is lost, or is given away. Safe for use by several
// goroutines.
type Owner struct {
	o       Options
	present Term        // follow's, and when that has ended Stop's
	terms   chan uint64 // from raft; the newest counts
	yields  chan yielding
	work    sync.WaitGroup
	ended   context.Context
	end     context.CancelFunc

	mu struct {
		sync.Mutex
		// ends the start of the present term, or the wait for its end in good order
		cancel context.CancelFunc
	}
}

// New returns the Owner of a group in which this node takes no part yet.
func New(o Options) *Owner {
	w := &Owner{o: o, terms: make(chan uint64, 1), yields: make(chan yielding)}
	w.ended, w.end = context.WithCancel(context.Background())
	return w
}

// Take makes this node take part in the group, as one that can become its owner. join joins the
// group, which tells led of each change of leadership: the term, or 0 when it is lost.
func (w *Owner) Take(join func(led func(term uint64)) error) error {
	w.o.Group.OnTransfer(w.yield)
	w.work.Go(w.follow)
	if err := join(w.led); err != nil {
		w.end()
		return err
	}
	return nil
}

// ID is the group's number.
func (w *Owner) ID() uint64 { return w.o.Group.ID() }

// led hears of changes of leadership, and must not block.
func (w *Owner) led(term uint64) {
	w.endStart()
	for {
		select {
		case w.terms <- term:
			return
		default:
		}
		select {
		case <-w.terms:
		default:
		}
	}
}

// onLoss sets what is called when the present term is lost.
func (w *Owner) onLoss(cancel context.CancelFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.cancel = cancel
}

func (w *Owner) endStart() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.cancel != nil {
		w.mu.cancel()
	}
}

// follow begins and ends terms, one after the other.
func (w *Owner) follow() {
	for {
		select {
		case term := <-w.terms:
			w.lost()
			if term != 0 {
				if err := w.enter(term); err != nil && w.ended.Err() == nil {
					w.o.Errorf("group %d: %v", w.ID(), err)
				}
			}
		case y := <-w.yields:
			y.done <- w.rest(y.ctx)
		case <-w.ended.Done():
			return
		}
	}
}

// enter begins a term.
func (w *Owner) enter(term uint64) (err error) {
	ctx, cancel := context.WithCancel(w.ended)
	defer cancel()
	w.onLoss(cancel)
	if w.o.Group.Leading() != term {
		return nil // the next term comes
	}
	w.present, err = w.o.Begin(ctx, term)
	return err
}

// lost ends a term that was lost.
func (w *Owner) lost() {
	t := w.present
	if t == nil {
		return
	}
	w.present = nil
	w.o.Logf("group %d: this node is not the owner any more (term %d)", w.ID(), t.Number())
	t.Abandon()
	t.Over()
}

// yielding asks for the end of the term in good order.
type yielding struct {
	ctx  context.Context
	done chan error
}

// yield ends the term before the leadership goes elsewhere, so that nothing is under way that the
// next owner would have to repeat.
func (w *Owner) yield(ctx context.Context) error {
	y := yielding{ctx, make(chan error, 1)}
	select {
	case w.yields <- y:
		return <-y.done
	case <-w.ended.Done():
		return nil // it has ended already
	}
}

// rest ends the term in good order, or goes on with it if that takes too long.
func (w *Owner) rest(ctx context.Context) error {
	t := w.present
	if t == nil {
		return nil
	}
	w.present = nil
	err := w.windUp(ctx, t, w.o.YieldTime)
	if err == nil {
		return nil
	}
	return errors.Join(err, w.enter(t.Number()))
}

var errLostMeanwhile = errors.New("the group was lost before all was finished")

// windUp ends a term in good order: what is under way is finished, for so long. If it is lost
// meanwhile, it ends as one that was lost.
func (w *Owner) windUp(ctx context.Context, t Term, limit time.Duration) error {
	lost, lose := context.WithCancel(context.Background())
	defer lose()
	w.onLoss(lose)
	if w.o.Group.Leading() != t.Number() {
		lose() // before that was set
	}
	defer t.Over()
	finished := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		finished <- t.Finish(ctx)
	}()
	select {
	case err := <-finished:
		return err
	case <-lost.Done():
		t.Abandon()
		return errLostMeanwhile
	}
}

// Stop ends the part that this node takes as the owner: what is under way is finished until ctx
// ends. owned: it was the owner, and nobody has taken that from it.
func (w *Owner) Stop(ctx context.Context) (owned bool, err error) {
	w.end()
	w.endStart()
	w.work.Wait()
	t := w.present
	if t == nil {
		return false, nil
	}
	err = w.windUp(ctx, t, w.o.StopTime)
	if errors.Is(err, errLostMeanwhile) {
		w.o.Logf("group %d: %v", w.ID(), err)
		err = nil
	}
	return true, err
}
