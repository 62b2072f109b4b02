package dkim

// Cover says how a signature covers the fields of a name.
type Cover uint8

const (
	// Each covers each field that is there.
	Each Cover = iota
	// NoSecond covers each field that is there and, if there is one, that no other is added.
	NoSecond
	// OverSigned covers each field that is there and that no other is added, also where there is
	// none (RFC 6376 5.4.2, 8.15).
	OverSigned
)

// Field is a name of header fields and how a signature covers them.
type Field struct {
	Name  string
	Cover Cover
}

// DefaultFields returns the fields that a signature covers unless its Options say otherwise.
//
//   - What a reader sees, and what says who is answered, to whom and what a reply belongs to, is
//     over-signed: whoever has a signed message could else put a second Subject in front of it, or
//     a Reply-To where there was none, and it would still be ours.
//   - So is what says how the body is to be read: another Content-Type shows other content.
//   - Sender and List-Unsubscribe may come in on the way, by a mailing list, so they are covered
//     against a second one only where there is one. RFC 8058 4 wants both of its fields covered.
//   - The other fields of lists, and those of a message that is sent again (Resent-*), each hop may
//     add: what is there is covered and more may come (RFC 6376 5.4.1).
//
// Received, Return-Path, Authentication-Results and the like are made by the way and are left out.
func DefaultFields() []Field {
	return []Field{
		{"From", OverSigned}, {"To", OverSigned}, {"Cc", OverSigned}, {"Subject", OverSigned},
		{"Date", OverSigned}, {"Message-ID", OverSigned}, {"Reply-To", OverSigned},
		{"In-Reply-To", OverSigned}, {"References", OverSigned},
		{"MIME-Version", OverSigned}, {"Content-Type", OverSigned},
		{"Content-Transfer-Encoding", OverSigned},
		{"Content-Disposition", NoSecond}, {"Content-Language", NoSecond}, {"Sender", NoSecond},
		{"List-Unsubscribe", NoSecond}, {"List-Unsubscribe-Post", NoSecond}, {"List-Id", NoSecond},
		{"List-Help", Each}, {"List-Subscribe", Each}, {"List-Post", Each}, {"List-Owner", Each},
		{"List-Archive", Each}, {"Feedback-ID", Each}, {"CFBL-Address", Each},
		{"CFBL-Feedback-ID", Each}, {"Autocrypt", Each}, {"Resent-Date", Each},
		{"Resent-From", Each}, {"Resent-Sender", Each}, {"Resent-To", Each}, {"Resent-Cc", Each},
		{"Resent-Message-ID", Each},
	}
}
