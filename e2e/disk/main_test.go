// Package disk starts and stops nodes on disks that are full, spent, small or failing, and after a
// loss of power.
package disk

import (
	"testing"

	"github.com/postroad/postroad/e2e/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
