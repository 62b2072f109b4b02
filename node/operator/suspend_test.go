package operator

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/queue"
)

var exampleOrg = api.Suspension{Kind: "domain", Name: "example.org", Reason: "they ask for it"}

// TestSuspendReachesTheQueues: those that this node owns take it over, the others are asked for
// theirs, and what this node has without owning it is left to its owner.
func TestSuspendReachesTheQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		mine := &fakeQueue{id: w.home(1), owned: true}
		copied := &fakeQueue{id: w.home(2)}
		w.queues = []Queue{mine, copied}
		w.acks[2] = []api.Acknowledged{{Group: w.home(2), Node: "mx2", Index: 7}}
		w.acks[3] = []api.Acknowledged{{Group: w.home(3), Node: "mx3", Index: 8}}
		op := w.operator()
		began := time.Now()
		a, err := op.Suspend(t.Context(), exampleOrg, time.Hour)
		if err != nil || len(a.Missing) != 0 || len(a.Groups) != 3 {
			t.Fatalf("%+v, %v", a, err)
		}
		if time.Since(began) != 0 {
			t.Errorf("it took %v though all acknowledged at once", time.Since(began))
		}
		if a.Suspension.Name != "example.org" ||
			a.Suspension.Until.Sub(a.Suspension.Since.Time) != time.Hour {
			t.Errorf("suspended: %+v", a.Suspension)
		}
		if len(mine.took) != 1 || len(mine.have.All) != 1 || len(copied.took) != 0 {
			t.Fatalf("taken over: %v here, %v elsewhere", mine.took, copied.took)
		}
		one := mine.have.All[0]
		if one.Kind != queue.SuspendDomain || one.Name != "example.org" || one.Lasts != time.Hour {
			t.Errorf("the queue has %+v", one)
		}
		if a, err = op.Resume(t.Context(), exampleOrg); err != nil || len(a.Missing) != 0 {
			t.Fatalf("%+v, %v", a, err)
		}
		if len(mine.took) != 2 || len(mine.have.All) != 0 || len(op.Suspensions()) != 0 {
			t.Errorf("after its end: %v, %+v, %+v", mine.took, mine.have, op.Suspensions())
		}
	})
}

// TestSuspendNamesWhoIsMissing: a group without an owner that answers is named once the patience is
// over; the change stands.
func TestSuspendNamesWhoIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.queues = []Queue{&fakeQueue{id: w.home(1), owned: true, fails: 2}}
		w.acks[2] = []api.Acknowledged{{Group: w.home(2), Node: "mx2"}}
		delete(w.reports, 3)
		op := w.operator()
		began := time.Now()
		a, err := op.Suspend(t.Context(), exampleOrg, 0)
		if err != nil || len(a.Groups) != 2 || len(a.Missing) != 1 {
			t.Fatalf("%+v, %v", a, err)
		}
		if m := a.Missing[0]; m.Group != w.home(3) || m.Home != "mx3" || m.Why == "" {
			t.Errorf("missing: %+v", m)
		}
		took := time.Since(began)
		if took < acknowledgePatience || took > acknowledgePatience+time.Second {
			t.Errorf("it waited for %v", took)
		}
		if w.asked[2] < 2 {
			t.Errorf("mx2 was asked %d times", w.asked[2])
		}
		if len(op.Suspensions()) != 1 {
			t.Errorf("in force: %+v", op.Suspensions())
		}
		w.current = func(context.Context) error { return errors.New("no majority") }
		a, err = op.Resume(t.Context(), exampleOrg)
		if err != nil || len(a.Groups) != 0 || len(a.Missing) != 1 ||
			a.Missing[0].Why != "no majority" {
			t.Errorf("on a node that cannot know all groups: %+v, %v", a, err)
		}
	})
}

// TestNothingToResume: an operator's mistake is his, and nobody is asked.
func TestNothingToResume(t *testing.T) {
	w := newWorld(t, 2)
	_, err := w.operator().Resume(t.Context(), exampleOrg)
	var said *api.Error
	if !errors.As(err, &said) || said.Exit != api.ExitData || w.asked[2] != 0 {
		t.Errorf("%v; mx2 was asked %d times", err, w.asked[2])
	}
}

// TestLearn: a new owner takes over what the control group's leader has, wherever that is; without
// a leader it begins after a while with what it knows, and says so.
func TestLearn(t *testing.T) {
	for leader, patient := range map[uint16]bool{1: false, 2: false, 0: true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 2)
			w.acks[2] = []api.Acknowledged{{Group: w.home(2), Node: "mx2"}}
			op := w.operator()
			if _, err := op.Suspend(t.Context(), exampleOrg, 0); err != nil {
				t.Fatal(err)
			}
			w.leader = leader
			q := &fakeQueue{id: w.home(1), fails: 1}
			began := time.Now()
			if err := op.Learn(t.Context(), q); err != nil || len(q.have.All) != 1 {
				t.Errorf("leader %d: %+v, %v", leader, q.have, err)
			}
			waited := time.Since(began) >= suspensionPatience
			if waited != patient || (len(w.logged) > 0) != patient {
				t.Errorf("leader %d: after %v it says %q", leader, time.Since(began), w.logged)
			}
		})
	}
}

// TestSuspensionsOfMembers: only the leader tells which version is in force; any member takes one
// over with the queues that it owns.
func TestSuspensionsOfMembers(t *testing.T) {
	w := newWorld(t, 1)
	mine := &fakeQueue{id: w.home(1), owned: true}
	w.queues = []Queue{mine}
	op := w.operator()
	if _, err := op.Suspend(t.Context(), exampleOrg, 0); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	op.Routes(mux)
	do := func(method, body string) (int, string) {
		r := httptest.NewRecorder()
		mux.ServeHTTP(r, httptest.NewRequest(method, suspensionsPath, strings.NewReader(body)))
		return r.Code, r.Body.String()
	}
	version, _ := w.state.Suspensions()
	code, body := do("GET", "")
	var v suspendVersion
	if err := json.Unmarshal([]byte(body), &v); code != 200 || err != nil || v.Version != version {
		t.Errorf("in force: %d %s", code, body)
	}
	mine.have = queue.Suspensions{}
	code, body = do("POST", `{"version":1}`)
	var acks []api.Acknowledged
	if err := json.Unmarshal([]byte(body), &acks); code != 200 || err != nil || len(acks) != 1 ||
		acks[0].Group != mine.id || acks[0].Node != "mx1" || acks[0].Index != mine.have.Index {
		t.Errorf("acknowledged: %d %s", code, body)
	}
	if code, _ = do("POST", "{"); code != http.StatusBadRequest {
		t.Errorf("half a request: %d", code)
	}
	w.leader = 2
	if code, _ = do("GET", ""); code != http.StatusConflict {
		t.Errorf("who does not lead says %d", code)
	}
}
