//go:build !defect_dropafter250

package queue

import "github.com/postroad/postroad/internal/mail"

// losesAfterAck is false: see defect.go.
func losesAfterAck(mail.ID) bool { return false }
