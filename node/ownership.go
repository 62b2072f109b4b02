package node

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/internal/maillog"
)

// ownership makes this node the owner of a group as often as it leads it: terms begin and end, one
// after the other, as the leadership comes, is lost, or is given away. Who owns a group does all
// that is done with what is in it.
type ownership struct {
	group *cluster.Group
	log   *maillog.Log
	// begin begins a term and returns its tenancy, also beside an error if there is something to be
	// ended; nil: the term has ended already. It returns soon after ctx ends, which the term's end
	// does.
	begin   func(ctx context.Context, term uint64) (tenancy, error)
	accepts atomic.Bool // mail may come: as many members as there should be have been seen at some time
	present tenancy     // follow's, and when that has ended stop's
	terms   chan uint64 // from raft; the newest counts
	yields  chan yielding
	mu      sync.Mutex
	cancel  context.CancelFunc // ends the start of the present term, or the wait for its end in good order
	work    sync.WaitGroup
	ended   context.Context
	end     context.CancelFunc
}

// tenancy is one term of ownership. It is ended by one of finish and abandon, or by both, and then
// over is called.
type tenancy interface {
	number() uint64                   // raft's
	finish(ctx context.Context) error // in good order: what is under way is finished, until ctx ends
	abandon()                         // it was lost: nothing more is settled. It may cut a finish short
	over()
}

// take makes this node take part in the group, as one that can become its owner. With first it is
// the group's first member.
func (o *ownership) take(first bool, machine cluster.StateMachine) error {
	o.terms, o.yields = make(chan uint64, 1), make(chan yielding)
	o.ended, o.end = context.WithCancel(context.Background())
	o.group.OnTransfer(o.yield)
	o.work.Go(o.follow)
	join := o.group.Join
	if first {
		join = o.group.Start
	}
	if err := join(machine, o.led); err != nil {
		o.end()
		return err
	}
	return nil
}

// base is what the governor needs of every kind of holding.
func (o *ownership) base() *ownership { return o }

// id is the group's number.
func (o *ownership) id() uint64 { return o.group.ID() }

// led hears of changes of leadership, and must not block.
func (o *ownership) led(term uint64) {
	o.endStart()
	for {
		select {
		case o.terms <- term:
			return
		default:
		}
		select {
		case <-o.terms:
		default:
		}
	}
}

// onLoss sets what is called when the present term is lost.
func (o *ownership) onLoss(cancel context.CancelFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cancel = cancel
}

func (o *ownership) endStart() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cancel != nil {
		o.cancel()
	}
}

// follow begins and ends tenancies, one after the other.
func (o *ownership) follow() {
	for {
		select {
		case term := <-o.terms:
			o.lost()
			if term != 0 {
				if err := o.enter(term); err != nil && o.ended.Err() == nil {
					o.log.Errorf("group %d: %v", o.id(), err)
				}
			}
		case y := <-o.yields:
			y.done <- o.rest(y.ctx)
		case <-o.ended.Done():
			return
		}
	}
}

// enter begins a term.
func (o *ownership) enter(term uint64) (err error) {
	ctx, cancel := context.WithCancel(o.ended)
	defer cancel()
	o.onLoss(cancel)
	if o.group.Leading() != term {
		return nil // the next term comes
	}
	o.present, err = o.begin(ctx, term)
	return err
}

// lost ends a tenancy that was lost.
func (o *ownership) lost() {
	t := o.present
	if t == nil {
		return
	}
	o.present = nil
	o.log.Logf("group %d: this node is not the owner any more (term %d)", o.id(), t.number())
	t.abandon()
	t.over()
}

// yielding asks for the end of the tenancy in good order.
type yielding struct {
	ctx  context.Context
	done chan error
}

// renewTime bounds how long what is under way is waited for when a tenancy is given away.
const renewTime = 10 * time.Second

// yield ends the tenancy before the leadership goes elsewhere, so that nothing is under way that
// the next owner would have to repeat.
func (o *ownership) yield(ctx context.Context) error {
	y := yielding{ctx, make(chan error, 1)}
	select {
	case o.yields <- y:
		return <-y.done
	case <-o.ended.Done():
		return nil // it has ended already
	}
}

// rest ends the tenancy in good order, or goes on with it if that takes too long.
func (o *ownership) rest(ctx context.Context) error {
	t := o.present
	if t == nil {
		return nil
	}
	o.present = nil
	err := o.windUp(ctx, t, renewTime)
	if err == nil {
		return nil
	}
	return errors.Join(err, o.enter(t.number()))
}

var errLostMeanwhile = errors.New("the group was lost before all was finished")

// windUp ends a tenancy in good order: what is under way is finished, for so long. If it is lost
// meanwhile, it ends as one that was lost.
func (o *ownership) windUp(ctx context.Context, t tenancy, limit time.Duration) error {
	lost, lose := context.WithCancel(context.Background())
	defer lose()
	o.onLoss(lose)
	if o.group.Leading() != t.number() {
		lose() // before that was set
	}
	defer t.over()
	finished := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		finished <- t.finish(ctx)
	}()
	select {
	case err := <-finished:
		return err
	case <-lost.Done():
		t.abandon()
		return errLostMeanwhile
	}
}

// stop ends the part that this node takes as the owner: what is under way is finished until ctx
// ends. owned: it was the owner, and nobody has taken that from it.
func (o *ownership) stop(ctx context.Context) (owned bool, err error) {
	o.end()
	o.endStart()
	o.work.Wait()
	t := o.present
	if t == nil {
		return false, nil
	}
	err = o.windUp(ctx, t, stopTimeout)
	if errors.Is(err, errLostMeanwhile) {
		o.log.Logf("group %d: %v", o.id(), err)
		err = nil
	}
	return true, err
}
