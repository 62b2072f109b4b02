// Package defects shows that the fault run finds what it is for: each test builds a program with a
// planted defect, and the verdict must name it.
package defects

import (
	"testing"

	"github.com/postroad/postroad/e2e/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
