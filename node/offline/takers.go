package offline

import (
	"encoding/json"
	"net/http"

	"github.com/postroad/postroad/cluster/control"
)

// TakersPath is where a member of the living cluster answers a stopped one that wants to put mail
// in again.
const TakersPath = "/node/takers"

// takers is the answer.
type takers struct {
	Refusal string            `json:"refusal,omitempty"` // why nothing can be taken; "": it can
	Members map[uint16]string `json:"members"`           // and their addresses
	Names   map[uint16]string `json:"names,omitempty"`   // of the groups' homes
	Groups  []control.Group   `json:"groups"`
}

// ServeTakers answers a GET of TakersPath by the control state of a running node.
func ServeTakers(state *control.State) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(takersOf(state)) // who asks sees that it was cut off
	}
}

func takersOf(state *control.State) takers {
	t := takers{
		Members: map[uint16]string{},
		Names:   map[uint16]string{},
		Groups:  state.Groups(),
	}
	if err := state.Needs(control.HandOverProtocol, "putting mail in again"); err != nil {
		t.Refusal = err.Error()
	}
	for _, m := range state.Members() {
		if m.State != control.Removed {
			t.Members[m.ID] = m.Address
		}
	}
	for _, g := range t.Groups { // a home may have been removed
		if m, ok := state.Member(g.Home); ok {
			t.Names[m.ID] = m.Name
		}
	}
	return t
}
