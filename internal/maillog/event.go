package maillog

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// appendEvent appends a record's line of the event log. Names and shapes are those of KumoMTA's log
// records, the reference of the field: times are seconds since 1970 (beside them event_time,
// created_time and next_attempt_time are RFC 3339 with milliseconds), peer_address is an object of
// name and addr, source_address one of address, enhanced_code one of class, subject and detail.
// Members without a value are left out. What KumoMTA does not have: tenant, campaign, user,
// possible_duplicate, next_attempt, num_recipients, recipients, orig_id, orig_recipient,
// message_id, auth_mechanism, trace_id.
func appendEvent(b []byte, r *Record, node string) []byte {
	b = append(b, `{"type":"`...)
	b = append(append(b, r.Type.String()...), '"')
	if !r.ID.IsZero() {
		b = append(b, `,"id":"`...)
		b = append(r.ID.AppendTo(b), '"')
	}
	if !r.OrigID.IsZero() {
		b = append(b, `,"orig_id":"`...)
		b = append(r.OrigID.AppendTo(b), '"')
	}
	b = appendJSON(append(b, `,"sender":`...), r.Sender, maxAddress)
	b = appendJSON(append(b, `,"recipient":`...), r.Recipient, maxAddress)
	b = appendMember(b, `,"orig_recipient":`, r.OrigRecipient)
	if r.Recipients > 1 {
		b = strconv.AppendInt(append(b, `,"num_recipients":`...), int64(r.Recipients), 10)
	}
	b = appendRefused(b, r.Refused)
	b = appendMember(b, `,"message_id":`, r.MessageID)
	b = appendMember(b, `,"queue":`, r.Queue)
	b = appendMember(b, `,"site":`, r.Site)
	b = strconv.AppendInt(append(b, `,"size":`...), r.Size, 10)
	b = appendResponse(b, r)
	b = appendPeer(b, r)
	b = appendSource(b, r.Source)
	b = appendTimes(b, r)
	b = strconv.AppendInt(append(b, `,"num_attempts":`...), int64(r.Attempts), 10)
	b = appendMember(b, `,"auth_mechanism":`, r.Mechanism)
	b = appendMember(b, `,"reception_protocol":`, r.Protocol)
	b = appendTLS(b, r.TLS)
	b = appendMember(b, `,"bounce_classification":`, r.Classification)
	b = appendMember(b, `,"tenant":`, r.Tenant)
	b = appendMember(b, `,"campaign":`, r.Campaign)
	b = appendMember(b, `,"user":`, r.User)
	if r.PossibleDuplicate {
		b = append(b, `,"possible_duplicate":true`...)
	}
	b = appendMember(b, `,"nodeid":`, node)
	b = appendMember(b, `,"session_id":`, r.Session)
	b = appendMember(b, `,"trace_id":`, r.TraceID)
	return append(b, "}\n"...)
}

// appendRefused appends the recipients of a message that was refused, if there are several.
func appendRefused(b []byte, all []string) []byte {
	if len(all) < 2 {
		return b
	}
	b = append(b, `,"recipients":`...)
	for i, to := range all {
		b = append(b, "[,"[min(i, 1)])
		b = appendJSON(b, to, maxAddress)
	}
	return append(b, ']')
}

// appendMember appends a member with its key, or nothing when it has no value.
func appendMember(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	return appendJSON(append(b, key...), value, maxAddress)
}

func appendResponse(b []byte, r *Record) []byte {
	b = append(b, `,"response":{"code":`...)
	b = strconv.AppendInt(b, int64(r.Code), 10)
	if class, subject, detail, ok := splitEnhanced(r.Enhanced); ok {
		b = append(append(b, `,"enhanced_code":{"class":`...), class...)
		b = append(append(b, `,"subject":`...), subject...)
		b = append(append(b, `,"detail":`...), detail...)
		b = append(b, '}')
	}
	b = appendJSON(append(b, `,"content":`...), r.Text, maxText)
	b = appendMember(b, `,"command":`, r.Command)
	return append(b, '}')
}

// splitEnhanced takes "5.1.1" apart (RFC 3463 2) into numbers that may stand in JSON.
func splitEnhanced(s string) (class, subject, detail string, ok bool) {
	class, rest, _ := strings.Cut(s, ".")
	subject, detail, ok = strings.Cut(rest, ".")
	return class, subject, detail, ok && isNumber(class) && isNumber(subject) && isNumber(detail)
}

func isNumber(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) > 0 && len(s) < 4 && (s[0] != '0' || len(s) == 1)
}

func appendPeer(b []byte, r *Record) []byte {
	if !r.Peer.IsValid() {
		return b
	}
	b = appendJSON(append(b, `,"peer_address":{"name":`...), r.Relay, maxAddress)
	b = append(b, `,"addr":"`...)
	return append(r.Peer.Addr().Unmap().AppendTo(b), `"}`...)
}

func appendSource(b []byte, source netip.Addr) []byte {
	if !source.IsValid() {
		return b
	}
	b = append(b, `,"source_address":{"address":"`...)
	return append(source.Unmap().AppendTo(b), `"}`...)
}

func appendTimes(b []byte, r *Record) []byte {
	at := r.At
	if at.IsZero() {
		at = time.Now()
	}
	b = strconv.AppendInt(append(b, `,"timestamp":`...), at.Unix(), 10)
	b = append(b, `,"event_time":"`...)
	b = appendUTC(b, at)
	b = append(b, '"')
	if !r.Created.IsZero() {
		b = strconv.AppendInt(append(b, `,"created":`...), r.Created.Unix(), 10)
		b = append(appendUTC(append(b, `,"created_time":"`...), r.Created), '"')
	}
	if !r.NextAttempt.IsZero() {
		b = strconv.AppendInt(append(b, `,"next_attempt":`...), r.NextAttempt.Unix(), 10)
		b = append(appendUTC(append(b, `,"next_attempt_time":"`...), r.NextAttempt), '"')
	}
	return b
}

// appendTLS takes "TLSv1.3 TLS_AES_128_GCM_SHA256" apart.
func appendTLS(b []byte, s string) []byte {
	version, cipher, _ := strings.Cut(s, " ")
	b = appendMember(b, `,"tls_cipher":`, cipher)
	return appendMember(b, `,"tls_protocol_version":`, version)
}
