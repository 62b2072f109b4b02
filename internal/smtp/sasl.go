package smtp

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// This file has what the AUTH exchanges of all protocols have in common.

// DecodeSASL decodes a client's message in an exchange (RFC 4954 4, RFC 5034 4); false: it is not
// base64.
func DecodeSASL(encoded []byte) ([]byte, bool) {
	message := make([]byte, base64.StdEncoding.DecodedLen(len(encoded)))
	n, err := base64.StdEncoding.Strict().Decode(message, encoded)
	if err != nil || bytes.IndexByte(encoded, '\r') >= 0 { // the decoder passes over CR
		return nil, false
	}
	return message[:n], true
}

// ParsePlain takes authzid NUL authcid NUL password (RFC 4616).
func ParsePlain(message []byte) (authzid, user, password string, ok bool) {
	f := bytes.Split(message, []byte{0})
	if len(f) != 3 || len(f[1]) == 0 {
		return "", "", "", false
	}
	return string(f[0]), string(f[1]), string(f[2]), true
}

// ScramUser returns the user name in the first message of a SCRAM client (RFC 5802 5.1), for the
// log; "" when there is none.
func ScramUser(message []byte) string {
	for field := range bytes.SplitSeq(message, []byte{','}) {
		if name, ok := bytes.CutPrefix(field, []byte("n=")); ok {
			return strings.NewReplacer("=2C", ",", "=3D", "=").Replace(string(name))
		}
	}
	return ""
}
