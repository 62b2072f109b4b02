package member

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/version"
	"github.com/postroad/postroad/operate/admin/api"
)

const newAddress = "new:7025"

// addressIn returns where the control state has a member.
func addressIn(w *world, id uint16) string { m, _ := w.state.Member(id); return m.Address }

// TestMovedNode: a node at another address than the members know says so to the leader.
func TestMovedNode(t *testing.T) {
	play(t, func(w *world) {
		w.lo.Advertise = newAddress
		w.start()
		w.mustBe("join 2")
		if a := addressIn(w, 1); a != newAddress || w.book.Of(1) != newAddress {
			w.Errorf("the members know it at %s, and its book has %s", a, w.book.Of(1))
		}
	})
}

// TestClosedNodeHasNotMoved: where nobody can reach it, it does not matter.
func TestClosedNodeHasNotMoved(t *testing.T) {
	play(t, func(w *world) {
		w.lo.Advertise, w.lo.Listens = newAddress, func() bool { return false }
		w.start()
		if a := addressIn(w, 1); a != "mx1:7025" {
			w.Errorf("the members know it at %s", a)
		}
	})
}

// TestMovedNodeThatNoLeaderReaches: it says hello to any member, logs what it waits for, and is
// quiet once its address has come back.
func TestMovedNodeThatNoLeaderReaches(t *testing.T) {
	play(t, func(w *world) {
		w.member("mx2", 2)
		w.leads(cluster.ControlGroup, 0)
		w.knows(false)
		w.lo.Advertise, w.refuse = newAddress, cluster.ErrRefused
		w.start()
		w.were()
		after(20 * time.Second)
		_, lines := w.were()
		waits := "the members know this node at mx1:7025, " +
			"and it waits for them to know it at " + newAddress
		told := waits + ": a member was told, " +
			"and none that leads has reached this node at " + newAddress + " since"
		other := func(line string) bool { return line != waits && line != told }
		if n := len(lines); n < 5 || n > 8 ||
			slices.ContainsFunc(lines, other) ||
			lines[n-1] != told {
			w.Errorf("logged: %q", lines)
		}
		if w.helloes[2] < 5 || len(w.helloes) != 1 {
			w.Errorf("it said hello: %v", w.helloes)
		}
		w.failed("")
		w.ok(w.others.SetAddress(w.Context(), 1, newAddress))
		after(5 * time.Second)
		w.were()
		before := w.helloes[2]
		after(20 * time.Second)
		w.mustBe()
		if w.helloes[2] != before {
			w.Error("it goes on to say hello")
		}
	})
}

// TestMovedToAnothersAddress: it is told so by its own look, and by a member that looks, and ends.
func TestMovedToAnothersAddress(t *testing.T) {
	play(t, func(w *world) {
		w.member("mx2", 2)
		w.lo.Advertise = newAddress
		w.answers[newAddress] = wire.Identity{Cluster: "c1", Member: 2, Incarnation: 2}
		w.start()
		w.failed("at new:7025 mx2 (member 2) answers")
		if !api.IsPermanent(w.fatal[0]) || addressIn(w, 1) != "mx1:7025" {
			w.Errorf("%v; the members know it at %s", w.fatal[0], addressIn(w, 1))
		}
	})
	play(t, func(w *world) {
		w.member("mx2", 2)
		w.lo.Advertise, w.refuse = newAddress, cluster.ErrRefused
		w.answer = &cluster.Answer{Status: http.StatusMisdirectedRequest, Text: "mx3 is there"}
		w.start()
		w.failed("mx3 is there")
		if !api.IsPermanent(w.fatal[0]) {
			w.Error(w.fatal[0])
		}
	})
}

// TestNodeWithoutRows: a node that has no control state yet tells others, every few seconds, that
// it runs; with no leader the log says so.
func TestNodeWithoutRows(t *testing.T) {
	play(t, func(w *world) {
		w.o.Self.Member, w.o.Self.Incarnation = 7, 7
		w.lo.Self = w.o.Self
		w.leads(cluster.ControlGroup, 0)
		w.ok(w.book.Keep(map[uint16]string{2: "mx2:7025", 7: "mx7:7025"}))
		w.answer = errors.New("no answer")
		w.start()
		after(10 * time.Second)
		_, lines := w.were()
		if w.helloes[2] < 3 || w.helloes[2] > 5 || w.helloes[7] > 0 {
			w.Errorf("it said hello: %v", w.helloes)
		}
		if len(lines) == 0 ||
			!strings.HasPrefix(lines[0], "no node that leads the cluster has heard") {
			w.Errorf("logged: %q", lines)
		}
	})
}

// TestNewProgramIsTold: so is that a node which joined runs.
func TestNewProgramIsTold(t *testing.T) {
	play(t, func(w *world) {
		w.ok(w.others.SetVersion(w.Context(), 1, "0.1", control.Protocol))
		w.start()
		if m, _ := w.state.Member(1); m.Version != version.Version {
			w.Errorf("the cluster knows %+v", m)
		}
	})
}

// TestNodeThatMustNotTakePart: a program that is too old, and a node under another name, end at
// once; one that the cluster has let go hears it, and does not say hello.
func TestNodeThatMustNotTakePart(t *testing.T) {
	play(t, func(w *world) {
		w.ok(w.others.SetVersion(w.Context(), 1, "9.9", control.Protocol+1))
		w.start()
		w.failed("start a newer version")
	})
	play(t, func(w *world) {
		w.o.Named = func() error { return errors.New("put the name back") }
		w.start()
		w.failed("put the name back")
	})
	play(t, func(w *world) {
		w.o.Self.Incarnation = 99
		w.lo.Advertise, w.refuse = newAddress, cluster.ErrRefused
		w.ok(w.book.Keep(map[uint16]string{2: "mx2:7025"}))
		w.start()
		after(5 * time.Second)
		w.failed("")
		if w.evicted < 5 || len(w.helloes) > 0 {
			w.Errorf("evicted %d times; hello to %v", w.evicted, w.helloes)
		}
	})
}

// TestHello: who hears it makes the member an active one and writes down where it is, also while
// there is no leader; an address at which another answers it refuses.
func TestHello(t *testing.T) {
	play(t, func(w *world) {
		l := NewLocator(w.lo)
		_, err := w.others.AddMember(w.Context(), nodeNamed("mx2", 2))
		w.ok(err)
		w.ok(l.hear(w.Context(), 2, hello{})) // of a version that does not say where it is
		if m, _ := w.state.Member(2); m.State != control.Active || m.Address != "mx2:7025" {
			w.Errorf("after a hello: %+v", m)
		}
		w.refuse = cluster.ErrRefused
		if err := l.hear(w.Context(), 2, hello{newAddress}); !errors.Is(err, cluster.ErrRefused) ||
			w.book.Of(2) != newAddress {
			w.Errorf("without a leader: %v, and the book has %q", err, w.book.Of(2))
		}
		w.refuse = nil
		w.ok(l.hear(w.Context(), 2, hello{newAddress}))
		if a := addressIn(w, 2); a != newAddress {
			w.Errorf("with a leader it is at %q", a)
		}
		w.answers["mx1:7025"] = mx1
		if err := l.hear(w.Context(), 2, hello{"mx1:7025"}); !api.IsPermanent(err) ||
			w.book.Of(2) != newAddress {
			w.Errorf("at another's address: %v", err)
		}
		answer := httptest.NewRecorder()
		l.ServeHello(answer, httptest.NewRequest("POST", HelloPath, strings.NewReader("{}")))
		if answer.Code != http.StatusForbidden {
			w.Errorf("a stranger's hello: %d", answer.Code)
		}
	})
}
