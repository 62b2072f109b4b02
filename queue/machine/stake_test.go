package machine

import (
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
)

// TestStake: messages that commands brought and did not end are at stake, not those that they
// delivered or removed. Of those that they only changed the number is known.
func TestStake(t *testing.T) {
	ids := mail.NewIDs(1, time.Time{})
	var id [4]mail.ID
	for i := range id {
		id[i] = ids.Next(time.Now())
	}
	env := &mail.Envelope{
		Sender: "a@example.net",
		Recipients: []mail.Recipient{
			{Address: "b@example.org", Domain: "example.org"},
			{Address: "c@example.org", Domain: "example.org"},
		},
	}
	var w EnvelopeWriter
	accept := AppendAcceptHead(AppendCommand(nil, CmdAccept, 1), SlotKey{1, 1}, 1, 3)
	for _, m := range id[:3] {
		accept = AppendAcceptEntry(accept, m, ReportID{}, 0, 0, w.Encode(env))
	}
	settle := AppendSettle(AppendCommand(nil, CmdSettle, 2), 1, 3)
	for _, o := range []Outcome{{ID: id[0], Recipient: 0, State: Relayed},
		{ID: id[1], Recipient: 0, State: Failed}, {ID: id[3], State: Relayed}} {
		settle = AppendOutcome(settle, &o)
	}
	remove := AppendOperator(
		AppendCommand(nil, CmdOperator, 3),
		VerbRemove,
		&mail.Attempt{},
		[]RecipientRef{{id[0], 1}},
	)
	hold := AppendOperator(
		AppendCommand(nil, CmdOperator, 3),
		VerbHold,
		&mail.Attempt{},
		[]RecipientRef{{id[2], 0}, {id[2], 1}},
	)
	var s Stake
	for _, data := range [][]byte{accept, accept, settle, remove, hold} {
		if err := s.Add(data); err != nil {
			t.Fatal(err)
		}
	}
	all := s.Messages()
	if len(all) != 2 || s.Others != 1 {
		t.Fatalf("%d messages, %d others", len(all), s.Others)
	}
	if m := all[0]; m.ID != id[1] || m.Sender != env.Sender || m.Open != 1 || m.Recipients != 2 ||
		m.Held {
		t.Errorf("%+v", m)
	}
	if m := all[1]; m.ID != id[2] || m.Open != 2 || !m.Held {
		t.Errorf("%+v", m)
	}
	if err := s.Add([]byte{99}); err == nil {
		t.Error("what cannot be read passes")
	}
}
