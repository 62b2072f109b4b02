// Package mailbox delivers mail into mailboxes and reads it with other people's POP3 clients.
package mailbox

import (
	"testing"

	"github.com/postroad/postroad/e2e/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
