package machine

import (
	"os"
	"strings"
	"testing"
)

// The page that operators read must say what the code does.
func TestStatesPageIsCurrent(t *testing.T) {
	page, err := os.ReadFile("../../docs/states.md")
	if err != nil {
		t.Fatal(err)
	}
	for why := range ReasonsNumber {
		cells := []string{why.String()}
		for _, from := range []State{Ready, Deferred, Held} {
			var to []string
			for _, s := range moves[from][why] {
				to = append(to, s.String())
			}
			cells = append(cells, strings.Join(to, ", "))
		}
		row := strings.Join(strings.Fields("| "+strings.Join(cells, " | ")+" |"), " ")
		if !strings.Contains(strings.Join(strings.Fields(string(page)), " "), row) {
			t.Errorf("docs/states.md lacks the row\n%s", row)
		}
	}
}

func TestNothingLeadsOutOfAFinalState(t *testing.T) {
	for from := Delivered; from <= Removed; from++ {
		for to := Ready; to <= Removed; to++ {
			for why := range ReasonsNumber {
				if allowed(from, to, why) {
					t.Errorf("%v to %v by %v", from, to, why)
				}
			}
		}
	}
	for from := Ready; from <= Held; from++ {
		for why := range ReasonsNumber {
			if allowed(from, InFlight, why) || from == InFlight && len(moves[from][why]) > 0 {
				t.Errorf("%v is stored as in flight by %v", from, why)
			}
		}
	}
}

func TestIllegalMovePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a delivered recipient was held")
		}
	}()
	(&Machine{}).move(&touched{row: RecipientRow{State: Delivered}}, Held, OperatorHold)
}
