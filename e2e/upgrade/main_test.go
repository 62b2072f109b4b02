// Package upgrade rolls clusters from one program to another, and back.
package upgrade

import (
	"testing"

	"github.com/postroad/postroad/e2e/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
