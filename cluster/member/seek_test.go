package member

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/datadir"
	"github.com/postroad/postroad/internal/files"
	"github.com/postroad/postroad/operate/admin/api"
)

// street is the nodes of a list, in virtual time, of which one seeks a cluster.
type street struct {
	Seeker
	mu      sync.Mutex
	knows   map[string]string // the cluster that each knows; who is not in it does not answer
	refuses map[string]error  // why one does not let it in
	joined  string
	waits   string
	lines   []string
	tell    chan struct{}
	ended   chan struct{}
	told    bool
	err     error
}

// seek lets mx1 seek, which has begun to join before.
func seek(t *testing.T, listed ...string) *street {
	t.Helper()
	n := notesIn(t)
	if err := errors.Join(
		files.MakeDir(datadir.Cluster(n.DataDir)),
		os.WriteFile(joinedPath(n.DataDir), []byte("{}"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	s := &street{
		knows: map[string]string{}, refuses: map[string]error{},
		tell: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	s.Seeker = Seeker{
		Listed: listed, Advertise: "mx1", DataDir: n.DataDir, Notes: n, Told: s.tell,
		Standing: func(ctx context.Context, address string) (wire.Standing, error) {
			s.mu.Lock()
			cluster, answers := s.knows[address]
			s.mu.Unlock()
			if !answers {
				<-ctx.Done()
				return wire.Standing{}, ctx.Err()
			}
			return wire.Standing{Cluster: cluster}, nil
		},
		Join: func(_ context.Context, address string) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if err := s.refuses[address]; err != nil {
				return err
			}
			s.joined = address
			return nil
		},
		Waits: func(format string, args ...any) {
			s.locked(func() { s.waits = fmt.Sprintf(format, args...) })
		},
		Logf: func(format string, args ...any) {
			s.locked(func() { s.lines = append(s.lines, fmt.Sprintf(format, args...)) })
		},
	}
	return s
}

func (s *street) locked(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *street) run(ctx context.Context) {
	go func() {
		s.told, s.err = s.Seek(ctx)
		close(s.ended)
	}()
	synctest.Wait()
}

// over reports whether it seeks no more.
func (s *street) over() bool {
	synctest.Wait()
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// begun reports whether what was left of the join is gone.
func (s *street) begun(t *testing.T) bool {
	t.Helper()
	j, err := ReadJoined(s.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	return j == nil
}

// TestFirstBeginsWhenAllKnowNone: the first of the list waits for an answer of each of the others.
func TestFirstBeginsWhenAllKnowNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := seek(t, "mx1", "mx2", "mx3")
		s.knows["mx2"] = ""
		s.run(t.Context())
		time.Sleep(time.Minute)
		if s.over() ||
			!strings.Contains(s.waits, "`postroad cluster init` here begins one now (mx3: ") ||
			s.begun(t) {
			t.Fatalf("with one that does not answer: %v, it waits for %s", s.err, s.waits)
		}
		if len(s.lines) != 1 {
			t.Errorf("logged: %q", s.lines)
		}
		s.locked(func() { s.knows["mx3"] = "" })
		time.Sleep(questionTime + seekPause)
		if !s.over() || s.err != nil || s.told || s.joined != "" || !s.begun(t) {
			t.Errorf("with all: %v, told %t, joined %q", s.err, s.told, s.joined)
		}
	})
}

// TestOthersWait: who is not the first begins nothing, and joins once one knows a cluster; one that
// does not let it in now is tried again, beside the others.
func TestOthersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := seek(t, "mx2", "mx1", "mx3")
		s.knows["mx2"], s.knows["mx3"] = "", ""
		s.run(t.Context())
		time.Sleep(time.Minute)
		if s.over() || !strings.Contains(s.waits, "mx2 is to begin it") {
			t.Fatalf("while nobody knows one: %v, it waits for %s", s.err, s.waits)
		}
		s.locked(func() { s.knows["mx2"], s.refuses["mx2"] = "c1", wire.ErrNotNow })
		time.Sleep(time.Minute)
		if s.over() || !strings.Contains(s.waits, wire.ErrNotNow.Error()) {
			t.Fatalf("while it is not let in: %v, it waits for %s", s.err, s.waits)
		}
		s.locked(func() { s.knows["mx3"] = "c1" })
		time.Sleep(questionTime + seekPause)
		if !s.over() || s.err != nil || s.joined != "mx3" || s.begun(t) {
			t.Errorf("through mx3: %v, joined %q", s.err, s.joined)
		}
	})
}

// TestRefusedForGood: it gives up.
func TestRefusedForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := seek(t, "mx2", "mx1")
		s.knows["mx2"], s.refuses["mx2"] = "c1",
			fmt.Errorf("%w: the name is taken", wire.ErrJoinDenied)
		s.run(t.Context())
		if !s.over() || !api.IsPermanent(s.err) || s.begun(t) {
			t.Errorf("refused: %v", s.err)
		}
	})
}

// TestOperatorSaysBegin: any node begins one by an operator's word, whatever its note says. By the
// others' words one that was a member begins none.
func TestOperatorSaysBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := seek(t, "mx1", "mx2")
		if err := s.Notes.Write(mx1, 5); err != nil {
			t.Fatal(err)
		}
		s.run(t.Context())
		time.Sleep(time.Minute)
		s.tell <- struct{}{}
		time.Sleep(questionTime + seekPause)
		if !s.over() || s.err != nil || !s.told || !s.begun(t) {
			t.Errorf("by a word: %v, told %t", s.err, s.told)
		}
		if note, _ := s.Notes.Read(); note != nil {
			t.Errorf("the note: %+v", note)
		}
		if !slices.Contains(s.lines, "this node begins a cluster: an operator has said so") {
			t.Errorf("logged: %q", s.lines)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := seek(t, "mx1", "mx2")
		if err := s.Notes.Write(mx1, 5); err != nil {
			t.Fatal(err)
		}
		s.knows["mx2"] = ""
		s.run(t.Context())
		if !s.over() || !api.IsPermanent(s.err) || s.begun(t) {
			t.Errorf("with a note: %v", s.err)
		}
	})
}

// TestSeekEnds: a start that is stopped says what it waited for.
func TestSeekEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := seek(t, "mx2", "mx1")
		ctx, cancel := context.WithCancel(t.Context())
		s.run(ctx)
		cancel()
		if !s.over() || !errors.Is(s.err, context.Canceled) ||
			!strings.Contains(s.err.Error(), "mx2 is to begin it") {
			t.Errorf("stopped: %v", s.err)
		}
	})
}

// TestJoinGoesOn: a join that is repeated asks as the same node; under another name as a new one.
func TestJoinGoesOn(t *testing.T) {
	o := Joiner{DataDir: notesIn(t).DataDir, Name: "mx1"}
	first, err := o.begin()
	if err != nil || first.Incarnation == 0 || first.Member != 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	if again, err := o.begin(); err != nil || again.Incarnation != first.Incarnation {
		t.Errorf("again: %+v, %v", again, err)
	}
	o.Name = "mx9"
	if other, err := o.begin(); err != nil || other.Incarnation == first.Incarnation ||
		other.Name != "mx9" {
		t.Errorf("under another name: %+v, %v", other, err)
	}
}

// TestRefusedJoinIsNoted: whatever ends a join, as a token that is wrong or a configuration that
// cannot be taken, the node knows that it was to join, and begins no cluster of its own.
func TestRefusedJoinIsNoted(t *testing.T) {
	o := Joiner{DataDir: notesIn(t).DataDir, Name: "mx1", Token: wire.NewToken(),
		Dial: func(context.Context, string, string) (net.Conn, error) { return nil, io.EOF },
		Prepare: func(wire.Standing) error {
			t.Error("nobody was asked")
			return nil
		}}
	if err := o.Join(t.Context(), "192.0.2.1:7025"); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if j, err := ReadJoined(o.DataDir); err != nil || j == nil || j.Member != 0 {
		t.Errorf("%+v, %v", j, err)
	}
}
