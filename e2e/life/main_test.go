// Package life is about nodes that come, go, are replaced, restarted and recovered while mail
// flows.
package life

import (
	"testing"

	"github.com/postroad/postroad/e2e/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
