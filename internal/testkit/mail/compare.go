package mail

import (
	"github.com/postroad/postroad/bench/record"
)

// The types that Compare takes and returns are the bench's.
type (
	Rules   = record.Rules
	Report  = record.Report
	Finding = record.Finding
)

// Compare holds what was sent against what was delivered.
func Compare(sent []Sent, got []Delivery, rules Rules) *Report {
	s, r := record.NewSentLog(), record.NewReceivedLog()
	for i := range sent {
		_ = s.Add(sent[i].record()) // there is room for millions
	}
	for i := range got {
		_ = r.Add(got[i].Record())
	}
	return record.Check(s, r, rules)
}

// record is the message in the form of the bench.
func (s *Sent) record() *record.Sent {
	e := &record.Sent{ID: s.ID, QueueID: s.QueueID, Sum: s.Sum, Size: int64(s.Size),
		Begun: s.At.Add(-s.Took), Ended: s.At}
	add := func(address string, o record.Outcome) {
		e.Recipients = append(e.Recipients, record.Recipient{Address: address, Outcome: o})
	}
	for _, a := range s.Accepted {
		add(a, record.Accepted)
	}
	for _, a := range s.Refused {
		add(a.Recipient, record.Refused)
	}
	for _, a := range s.Unknown {
		add(a, record.Unknown)
	}
	return e
}

// Record is the transaction in the form of the bench. It shares the recipients with d.
func (d *Delivery) Record() *record.Received {
	return &record.Received{
		ID: d.ID, Sender: d.Sender, Recipients: d.Recipients, Sum: d.Sum, Size: d.Size,
		Conn: uint32(d.Session), Client: d.Remote,
		TLS: d.TLS, Connected: d.Connected, Begun: d.Started, Accepted: d.Accepted,
	}
}
