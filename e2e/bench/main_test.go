// Package bench tries the bench command, and measures the program against others: Postfix,
// Dovecot, their test programs, and older builds. What measures runs with POSTROAD_LONG=1 only;
// its figures are those of docs/performance.md.
package bench

import (
	"testing"

	"github.com/postroad/postroad/e2e/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
