// Package shards moves the shards of mailboxes between nodes.
package shards

import (
	"testing"

	"github.com/postroad/postroad/e2e/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
