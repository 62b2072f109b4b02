package maillog

import (
	"strconv"

	"github.com/postroad/postroad/internal/mail"
)

// Lines in JSON have what they say as members, too, under the names that the line has for it.

// appendMembers appends those of one mail event.
func appendMembers(b []byte, r *Record) []byte {
	b = appendIDMember(b, r.ID)
	switch r.Type {
	case Reception:
		b = appendClientMembers(b, r)
	case Rejection:
		b = appendClientMembers(b, r)
		b = appendNumber(b, `"code":`, int64(r.Code))
		b = lineMember(b, `"dsn":`, r.Enhanced)
		b = lineMember(b, `"command":`, r.Command)
		b = append(b, `"status":"rejected",`...)
	case HandedOver:
		return b
	default:
		b = appendDeliveryMembers(b, r)
	}
	b = lineMember(b, `"from":`, r.Sender)
	b = lineMember(b, `"to":`, r.Recipient)
	b = lineMember(b, `"orig_to":`, r.OrigRecipient)
	b = appendNumber(b, `"size":`, r.Size)
	return b
}

// appendClientMembers appends what is known of the client.
func appendClientMembers(b []byte, r *Record) []byte {
	if r.Report == "" {
		b = append(appendClient(append(b, `"client":"`...), r.Peer), `",`...)
	}
	b = lineMember(b, `"helo":`, r.Relay)
	b = lineMember(b, `"proto":`, r.Protocol)
	b = lineMember(b, `"sasl_method":`, r.Mechanism)
	b = lineMember(b, `"sasl_username":`, r.User)
	b = lineMember(b, `"message_id":`, r.MessageID)
	if !r.OrigID.IsZero() {
		b = append(r.OrigID.AppendTo(append(b, `"orig_queue_id":"`...)), `",`...)
	}
	return appendNumber(b, `"nrcpt":`, int64(r.Recipients))
}

func appendDeliveryMembers(b []byte, r *Record) []byte {
	b = append(b, `"relay":"`...)
	from := len(b)
	b = append(escapeFrom(appendRelay(b, r), from), `",`...)
	b = append(appendSeconds(append(b, `"delay":`...), max(r.At.Sub(r.Created), 0)), ',')
	b = append(b, `"delays":[`...)
	for i, d := range r.Delays {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendSeconds(b, max(d, 0))
	}
	b = append(b, "],"...)
	if r.PossibleDuplicate {
		b = append(b, `"possible_duplicate":true,`...)
	}
	b = lineMember(b, `"dsn":`, r.Enhanced)
	b = append(append(append(b, `"status":"`...), r.Type.status()...), `",`...)
	if r.Code > 0 {
		b = appendNumber(b, `"code":`, int64(r.Code))
	}
	return lineMember(b, `"reply":`, r.Text)
}

func appendIDMember(b []byte, id mail.ID) []byte {
	if id.IsZero() {
		return b
	}
	return append(id.AppendTo(append(b, `"queue_id":"`...)), `",`...)
}

// lineMember appends a member and a comma; the empty address is one, what else is empty is left
// out.
func lineMember(b []byte, key, value string) []byte {
	if value == "" && key != `"from":` {
		return b
	}
	return append(appendJSON(append(b, key...), value, maxText), ',')
}

func appendNumber(b []byte, key string, n int64) []byte {
	return append(strconv.AppendInt(append(b, key...), n, 10), ',')
}
