// Package forming makes clusters, in all documented ways, while nodes are killed, come back empty,
// or change their names and addresses.
package forming

import (
	"testing"

	"github.com/postroad/postroad/e2e/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
