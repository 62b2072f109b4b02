package signing

import (
	netmail "net/mail"
	"strings"

	"github.com/postroad/postroad/internal/message"
)

// Author returns the address in the From field of a header. ok is false unless there is one field
// with one address that everybody reads in the same way: without a group, and without a name that
// has brackets in it. A lenient reader could show another author than the one who is meant here.
func Author(head []byte) (address string, ok bool) {
	var from []byte
	for f := range message.Fields(head) {
		if !f.Is("From") {
			continue
		}
		if from != nil {
			return "", false
		}
		from = f.Value()
	}
	if from == nil {
		return "", false
	}
	all, err := (&netmail.AddressParser{}).ParseList(strings.TrimSpace(unfolded(from)))
	if err != nil || len(all) != 1 || strings.Count(all[0].Address, "@") != 1 ||
		strings.ContainsAny(all[0].Name, "<>") || strings.Contains(string(from), ";") {
		return "", false
	}
	return all[0].Address, true
}

// unfolded returns a field's value on one line (RFC 5322 2.2.3).
func unfolded(value []byte) string {
	return strings.NewReplacer("\r\n", "", "\n", "").Replace(string(value))
}
