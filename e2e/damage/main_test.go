// Package damage spoils what nodes have on their disks: nothing acknowledged is lost unless a node
// stops and names it.
package damage

import (
	"testing"

	"github.com/postroad/postroad/e2e/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
