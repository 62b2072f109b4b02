// Package deploy tries what is in deploy: the systemd unit, the configurations, the container image
// and the Compose file.
package deploy

import (
	"os"
	"testing"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/confine"
)

func TestMain(m *testing.M) {
	if os.Getenv("POSTROAD_DOCKER") != "" {
		os.Setenv(confine.Variable, "off") // the engine's networks may be those of the machine
	}
	kit.Main(m)
}
