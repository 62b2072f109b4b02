package load

import "github.com/postroad/postroad/bench/record"

// Record fills r with what s says, in the form that is compared with what a receiving server has
// written down.
func (s *Sent) Record(r *record.Sent) {
	*r = record.Sent{
		ID: s.ID, Sender: s.Sender, Recipients: r.Recipients[:0], Sum: s.Sum, Size: int64(s.Size),
		Conn: uint32(s.Connection), Begun: s.Due, Ended: s.Ended,
	}
	for _, to := range s.Recipients {
		r.Recipients = append(r.Recipients,
			record.Recipient{Address: to.Address, Outcome: recorded[to.Outcome],
				Code: uint16(to.Code)})
	}
}

var recorded = [...]record.Outcome{
	Lost: record.NotSent, Accepted: record.Accepted, RefusedForNow: record.Refused,
	RefusedForGood: record.Refused, Unknown: record.Unknown,
}
