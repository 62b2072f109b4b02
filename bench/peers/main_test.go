package peers

import (
	"os"
	"testing"

	"github.com/postroad/postroad/internal/testkit/confine"
)

func TestMain(m *testing.M) { os.Exit(confine.Main(m.Run)) }
