// Package mailbox delivers mail into mailboxes, while nodes are killed.
package mailbox

import (
	"testing"

	"github.com/postroad/postroad/e2e/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
