// Package operators has operators at work while nodes die: what they are told is true, and what
// they order holds.
package operators

import (
	"testing"

	"github.com/postroad/postroad/e2e/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
