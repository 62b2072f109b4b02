package member

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/internal/version"
	"github.com/postroad/postroad/operate/admin/api"
)

const (
	// helloAgain is the time between two tries of a node, which did not join just now, to tell
	// others that it runs.
	helloAgain = 3 * time.Second
	// introduceTime bounds one try.
	introduceTime = 10 * time.Second
)

// introduce makes the cluster hear of this node, where there is something new to hear. It ends the
// process where the node must not take part.
func (r *Reconciler) introduce(ctx context.Context) {
	if err := r.o.State.TooOld(control.Protocol); err != nil {
		// At once: the next command may mean something else than this program thinks.
		r.o.Fail(api.Permanent(err))
		return
	}
	if err := r.o.State.Admit(r.o.Self.Member, r.o.Self.Incarnation, ""); err != nil {
		r.o.Evicted(err)
		return
	}
	if r.o.IsEvicted() {
		return // nobody would hear it
	}
	if err := r.o.Named(); err != nil {
		r.o.Fail(api.Permanent(err)) // after a crash the rows may have come only now
		return
	}
	m, known := r.o.State.Member(r.o.Self.Member)
	moved := known && r.o.Locator.moved(m)
	if known && !moved && r.upToDate(m) {
		r.unheard = time.Time{}
		return
	}
	what := "no node that leads the cluster has heard yet that this one runs, and it tries again"
	if moved {
		what = fmt.Sprintf(
			"the members know this node at %s, and it waits for them to know it at %s",
			m.Address, r.o.Locator.o.Advertise)
	}
	r.logUnheard(what)
	if !known && !r.o.Joined {
		if time.Since(r.helloed) < helloAgain {
			return // after a crash the rows come by themselves, as a rule
		}
		r.helloed = time.Now()
	}
	r.do(ctx, thisNode, what, func() error {
		ctx, cancel := context.WithTimeout(ctx, introduceTime)
		defer cancel()
		err := r.introduceAs(ctx, m, moved)
		if api.IsPermanent(err) {
			r.o.Fail(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.mu.failure = err
		return err
	})
}

// upToDate reports whether the state has this node as one that runs this program, with its key.
func (r *Reconciler) upToDate(m control.Member) bool {
	return m.State != control.Joining && m.Version == version.Version &&
		m.Protocol == control.Protocol && !r.lacksKey(m)
}

// lacksKey reports whether this node's key is to be recorded, and all members would keep it.
func (r *Reconciler) lacksKey(m control.Member) bool {
	return m.Key == "" && r.o.Key != "" && r.o.State.MinProtocol() >= control.KeysProtocol
}

// logUnheard logs every few seconds what this node waits for, however long a try takes.
func (r *Reconciler) logUnheard(what string) {
	if r.unheard.IsZero() {
		r.unheard = time.Now()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.unheard) < logEvery || !r.mu.logged.due(what, time.Now()) {
		return
	}
	if r.mu.failure != nil {
		what = fmt.Sprintf("%s: %v", what, r.mu.failure)
	}
	r.o.Logf("%s", what)
}

// introduceAs tells the cluster about this node, of which the control state has m; a member without
// a number: it has nothing.
func (r *Reconciler) introduceAs(ctx context.Context, m control.Member, moved bool) (err error) {
	switch {
	case m.ID == 0:
		return r.o.Locator.introduce(ctx)
	case moved:
		if err := r.o.Locator.tellAddress(ctx); err != nil {
			return err
		}
	}
	if m.Version != version.Version || m.Protocol != control.Protocol {
		err = r.o.Changes.SetVersion(ctx, m.ID, version.Version, control.Protocol)
	}
	if r.lacksKey(m) {
		err = errors.Join(err,
			r.o.Changes.SetKey(ctx, m.ID, r.o.Self.Incarnation, r.o.Key))
	}
	if m.State == control.Joining {
		err = errors.Join(err, r.o.Changes.Activate(ctx, m.ID))
	}
	return err
}
