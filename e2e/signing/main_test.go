// Package signing is about signatures of DKIM: made by a node, verified by others.
package signing

import (
	"testing"

	"github.com/postroad/postroad/e2e/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
