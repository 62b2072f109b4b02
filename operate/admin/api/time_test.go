package api

import (
	"encoding/json"
	"testing"
	"time"
)

// TestTimeHasOneForm: always UTC, always three digits; and what other nodes wrote before is read.
func TestTimeHasOneForm(t *testing.T) {
	at := time.Date(2026, 3, 1, 13, 0, 0, 120_456_789, time.FixedZone("", 3600))
	raw, err := json.Marshal(map[string]Time{"at": At(at), "whole": At(at.Truncate(time.Second))})
	want := `{"at":"2026-03-01T12:00:00.120Z","whole":"2026-03-01T12:00:00.000Z"}`
	if err != nil || string(raw) != want {
		t.Errorf("%s, %v, want %s", raw, err, want)
	}
	var s Suspension
	if err := json.Unmarshal([]byte(`{"since":"2026-03-01T13:00:00.123456789+01:00"}`),
		&s); err != nil || !s.Since.Equal(at.Add(3*time.Millisecond)) {
		t.Errorf("%v, %v", s.Since, err)
	}
	if raw, err := json.Marshal(s); err != nil ||
		string(raw) != `{"kind":"","name":"","since":"2026-03-01T12:00:00.123Z"}` {
		t.Errorf("%s, %v", raw, err)
	}
}
