// Package relay sends mail through one node, between other people's servers and clients.
package relay

import (
	"testing"

	"github.com/postroad/postroad/e2e/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
