// Package pop3 reads mailboxes with other people's POP3 clients, while nodes live and die.
package pop3

import (
	"testing"

	"github.com/postroad/postroad/e2e/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
