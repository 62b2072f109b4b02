// Package faults holds clusters under load against everything that can go wrong with processes,
// networks and disks.
package faults

import (
	"testing"

	"github.com/postroad/postroad/e2e/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
