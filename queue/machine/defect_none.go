//go:build !defect_dropafter250

package machine

import "github.com/postroad/postroad/internal/mail"

// losesAfterAck is false: see defect.go.
func losesAfterAck(mail.ID) bool { return false }
