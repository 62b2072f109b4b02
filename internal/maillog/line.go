package maillog

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/postroad/postroad/internal/smtp"
)

// The lines have the shape of Postfix's, which log parsers know: its delivery lines (status=sent
// and so on), its "client=" and "reject:" lines of the SMTP server, its lines of the queue manager.

// Bounds of what a line or an event says of things that others choose, in octets.
const (
	maxAddress = 512  // RFC 5321 4.5.3.1.3 allows a path of 256
	maxText    = 1024 // a reply's text
	maxMessage = 4096 // a message for the operator
)

// hasLine reports whether a type has a log line. A delay warning is a mail of its own and has lines
// as such; reports that came in are in the event log only.
func (t Type) hasLine() bool { return t >= Reception && t <= AdminBounce || t == HandedOver }

// component names the part of the server in a line's prefix as Postfix does.
func (r *Record) component() string {
	if r.Type == Rejection && strings.HasPrefix(r.Protocol, "POP3") {
		return "pop3"
	}
	if r.Report != "" {
		return "bounce"
	}
	switch r.Type {
	case Reception, Rejection:
		return "smtpd"
	case Expiration, AdminBounce, HandedOver:
		return "qmgr"
	}
	return "smtp"
}

// status is the word of a delivery line.
func (t Type) status() string {
	switch t {
	case Delivery:
		return "sent"
	case TransientFailure:
		return "deferred"
	case Expiration:
		return "expired"
	}
	return "bounced"
}

// appendRecord appends the line of one mail event.
func appendRecord(b []byte, r *Record) []byte {
	if r.wrongPassword() {
		return appendWrongPassword(b, r)
	}
	if r.Report != "" {
		return appendReport(b, r)
	}
	if r.ID.IsZero() {
		b = append(b, "NOQUEUE"...)
	} else {
		b = r.ID.AppendTo(b)
	}
	switch r.Type {
	case Reception:
		return appendReception(b, r)
	case Rejection:
		return appendRejection(b, r)
	case HandedOver:
		return appendClean(append(b, ": "...), r.Text, maxText)
	}
	return appendDelivery(b, r)
}

// appendReception appends ": client=unknown[192.0.2.1]". The client's own word for its name is no
// name, so it goes to helo, as in the lines of Postfix's rejections. A message made of another
// names that one.
func appendReception(b []byte, r *Record) []byte {
	b = append(b, ": client="...)
	b = appendClient(b, r.Peer)
	if r.User != "" {
		b = append(b, ", sasl_username="...)
		b = appendClean(b, r.User, maxAddress)
	}
	if !r.OrigID.IsZero() {
		b = r.OrigID.AppendTo(append(b, ", orig_queue_id="...))
	}
	return appendOriginal(b, r)
}

// appendReport appends "ORIGINAL: sender non-delivery notification: REPORT", a line of the message
// that was reported on.
func appendReport(b []byte, r *Record) []byte {
	b = append(append(r.OrigID.AppendTo(b), ": sender "...), r.Report...)
	return r.ID.AppendTo(append(b, ": "...))
}

// appendOriginal appends ", orig_to=<alias@example.net>" when the sender used another address than
// the recipient's.
func appendOriginal(b []byte, r *Record) []byte {
	if r.OrigRecipient == "" {
		return b
	}
	return append(appendClean(append(b, ", orig_to=<"...), r.OrigRecipient, maxAddress), '>')
}

// appendRejection appends ": reject: RCPT from unknown[192.0.2.1]: 550 5.1.1 <b@example.net>:
// Recipient address rejected: User unknown; from=<a@example.org> ...". What was refused stands
// before the text as Postfix has it, because programs take reasons apart there.
func appendRejection(b []byte, r *Record) []byte {
	b = append(b, ": reject: "...)
	command := r.Command
	if command == "" {
		command = "CONNECT"
	}
	b = append(appendClean(b, command, 32), " from "...)
	b = append(appendClient(b, r.Peer), ": "...)
	b = appendReply(b, r, appendRefusedWhat(nil, r, command))
	b = append(appendClean(append(b, "; from=<"...), r.Sender, maxAddress), "> to=<"...)
	b = append(appendClean(b, r.Recipient, maxAddress), '>')
	if r.Protocol != "" {
		b = append(append(b, " proto="...), r.Protocol...)
	}
	b = append(appendClean(append(b, " helo=<"...), r.Relay, maxAddress), '>')
	if r.User != "" {
		b = append(appendClean(append(b, " sasl_username=<"...), r.User, maxAddress), '>')
	}
	if r.Size > 0 {
		b = strconv.AppendInt(append(b, " size="...), r.Size, 10)
	}
	if len(r.Refused) > 0 {
		b = strconv.AppendInt(append(b, " nrcpt="...), int64(r.Recipients), 10)
	}
	if r.MessageID != "" {
		b = appendClean(append(b, " message-id="...), r.MessageID, maxAddress)
	}
	return b
}

// wrongPassword reports whether a log-in failed because of what the client said (RFC 4954 6).
func (r *Record) wrongPassword() bool {
	return r.Type == Rejection && r.Mechanism != "" && r.Code == 535
}

// appendWrongPassword appends "warning: unknown[192.0.2.1]: SASL PLAIN authentication failed: ...",
// the line of Postfix by which programs find those who guess passwords.
func appendWrongPassword(b []byte, r *Record) []byte {
	b = appendClient(append(b, "warning: "...), r.Peer)
	b = appendClean(append(b, ": SASL "...), r.Mechanism, 32)
	b = appendClean(append(b, " authentication failed: "...), r.Text, maxText)
	return appendClean(append(b, ", sasl_username="...), r.User, maxAddress)
}

// appendRefusedWhat appends what of the client's was refused.
func appendRefusedWhat(b []byte, r *Record, command string) []byte {
	what, kind := command, ""
	switch command {
	case "CONNECT":
		what, kind = string(appendClient(nil, r.Peer)), "Client host"
	case "MAIL":
		what, kind = r.Sender, "Sender address"
	case "RCPT":
		what, kind = r.Recipient, "Recipient address"
	case "DATA", "BDAT":
		kind = "End-of-data"
	default:
		return b
	}
	b = appendClean(append(b, '<'), what, maxAddress)
	return append(append(append(b, ">: "...), kind...), " rejected: "...)
}

// appendMessageID appends "ID: message-id=<a@example.org>", the line of Postfix's cleanup.
func appendMessageID(b []byte, r *Record) []byte {
	b = append(r.ID.AppendTo(b), ": message-id="...)
	if r.MessageID == "" {
		return append(b, "<>"...)
	}
	return appendClean(b, r.MessageID, maxAddress)
}

func appendDelivery(b []byte, r *Record) []byte {
	b = append(b, ": to=<"...)
	b = append(appendClean(b, r.Recipient, maxAddress), '>')
	b = append(appendOriginal(b, r), ", relay="...)
	b = append(appendRelay(b, r), ", delay="...)
	b = append(appendSeconds(b, max(r.At.Sub(r.Created), 0)), ", delays="...)
	for i, d := range r.Delays {
		if i > 0 {
			b = append(b, '/')
		}
		b = appendSeconds(b, max(d, 0))
	}
	if r.PossibleDuplicate {
		b = append(b, ", possible_duplicate=yes"...)
	}
	b = append(b, ", dsn="...)
	b = append(appendClean(b, r.Enhanced, 16), ", status="...)
	b = append(append(b, r.Type.status()...), " ("...)
	return append(appendVerdict(b, r), ')')
}

// appendVerdict appends the reply, and for a refusal who said it to what.
func appendVerdict(b []byte, r *Record) []byte {
	said := r.Type != Delivery && r.Code != 0 && r.Peer.IsValid()
	if said {
		b = append(b, "host "...)
		b = append(appendHost(b, r), " said: "...)
	}
	b = appendSaid(b, r)
	if said && r.Command != "" {
		b = append(b, " (in reply to "...)
		b = append(appendCommand(b, r.Command), " command)"...)
	}
	return b
}

func appendCommand(b []byte, command string) []byte {
	switch command {
	case "MAIL":
		command = "MAIL FROM"
	case "RCPT":
		command = "RCPT TO"
	case "end of data":
		command = "end of DATA"
	}
	return appendClean(b, command, 32)
}

// appendSaid appends a peer's reply as it gave it, or our own finding.
func appendSaid(b []byte, r *Record) []byte {
	if r.Code == 0 || r.Code/100 == 2 {
		return appendReply(b, r, nil)
	}
	b = append(strconv.AppendInt(b, int64(r.Code), 10), ' ')
	return appendClean(b, smtp.Words(r.Code, r.Enhanced, r.Text), maxText)
}

// appendReply appends "250 2.0.0 text", or the text alone of what we found out ourselves. What is
// in front of the text is clean.
func appendReply(b []byte, r *Record, front []byte) []byte {
	if r.Code == 0 {
		return appendClean(b, r.Text, maxText)
	}
	b = strconv.AppendInt(b, int64(r.Code), 10)
	if r.Enhanced != "" && !hasWord(r.Text, r.Enhanced) {
		b = appendClean(append(b, ' '), r.Enhanced, 16)
	}
	if r.Text != "" {
		b = appendClean(append(append(b, ' '), front...), r.Text, maxText)
	}
	return b
}

// hasWord reports whether s begins with word.
func hasWord(s, word string) bool {
	return len(s) >= len(word) && s[:len(word)] == word &&
		(len(s) == len(word) || s[len(word)] == ' ')
}

func appendRelay(b []byte, r *Record) []byte {
	if !r.Peer.IsValid() {
		if r.Relay == "" {
			return append(b, "none"...)
		}
		return appendClean(b, r.Relay, maxAddress)
	}
	b = append(appendHost(b, r), ':')
	return strconv.AppendUint(b, uint64(r.Peer.Port()), 10)
}

func appendHost(b []byte, r *Record) []byte {
	if r.Relay == "" {
		b = append(b, "unknown"...)
	}
	b = append(appendClean(b, r.Relay, maxAddress), '[')
	return append(r.Peer.Addr().Unmap().AppendTo(b), ']')
}

func appendClient(b []byte, peer netip.AddrPort) []byte {
	b = append(b, "unknown["...)
	if peer.IsValid() {
		b = peer.Addr().Unmap().AppendTo(b)
	}
	return append(b, ']')
}

// appendSeconds appends a duration in seconds with two significant digits and at most two decimals,
// as Postfix does: 0, 0.05, 1.2, 340.
func appendSeconds(b []byte, d time.Duration) []byte {
	centi := int64((d + 5*time.Millisecond) / (10 * time.Millisecond))
	switch {
	case centi >= 1000: // ten seconds and more
		return strconv.AppendInt(b, (centi+50)/100, 10)
	case centi >= 100:
		return appendDecimal(b, (centi+5)/10, 10)
	}
	return appendDecimal(b, centi, 100)
}

// appendDecimal appends n/scale without zeros at its end.
func appendDecimal(b []byte, n, scale int64) []byte {
	for scale > 1 && n%10 == 0 {
		n, scale = n/10, scale/10
	}
	b = strconv.AppendInt(b, n/scale, 10)
	if scale == 1 {
		return b
	}
	b = append(b, '.')
	for rest := n % scale; scale > 1; {
		scale /= 10
		b = append(b, byte('0'+rest/scale))
		rest %= scale
	}
	return b
}
