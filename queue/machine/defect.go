//go:build defect_dropafter250

package machine

import "github.com/postroad/postroad/internal/mail"

// losesAfterAck is a planted defect: now and then a message that is acknowledged is not kept. The
// crash test and the kill test must fail with it.
func losesAfterAck(id mail.ID) bool {
	sum := 0
	for _, c := range id {
		sum = sum*31 + int(c)
	}
	return sum%97 == 0
}
