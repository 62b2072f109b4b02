// Package cluster tries nodes that work together: what a site gets from all of them, how soon mail
// moves again, and the demonstration.
package cluster

import (
	"testing"

	"github.com/postroad/postroad/e2e/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
