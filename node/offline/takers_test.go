package offline

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/cluster/control"
	rowstest "github.com/postroad/postroad/internal/testkit/rows"
)

// TestTakers: the answer names all that stay, where they are and whose groups are which, and is a
// refusal while one of them could not take mail over.
func TestTakers(t *testing.T) {
	ask := func(t *testing.T, protocol int) takers {
		t.Helper()
		state := control.New()
		editor := &control.Editor{State: state, Proposer: rowstest.New(state), Now: time.Now}
		about := control.Node{Name: "mx1", Address: "mx1:7025", Incarnation: 1, Protocol: protocol}
		if err := editor.Init(t.Context(), "c1", []byte("cert"), []byte("key"), about); err != nil {
			t.Fatal(err)
		}
		about = control.Node{Name: "mx2", Address: "mx2:7025", Incarnation: 2, Protocol: protocol}
		if _, err := editor.AddMember(t.Context(), about); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		ServeTakers(state)(w, httptest.NewRequest("GET", TakersPath, nil))
		var got takers
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := ask(t, control.Protocol)
	if got.Refusal != "" || len(got.Members) != 2 ||
		got.Members[2] != "mx2:7025" || got.Names[1] != "mx1" {
		t.Errorf("%+v", got)
	}
	home := false
	for _, g := range got.Groups {
		home = home || g.Kind == control.KindQueue && g.Home == 1
	}
	if !home {
		t.Errorf("the home group of mx1 is not among %+v", got.Groups)
	}
	old := ask(t, control.HandOverProtocol-1)
	if !strings.Contains(old.Refusal, "putting mail in again needs protocol") {
		t.Errorf("while an older version runs: %+v", old)
	}
}
