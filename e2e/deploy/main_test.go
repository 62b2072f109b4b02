// Package deploy tries what is in deploy: the systemd unit, the configurations, the container
// image and the Compose file.
package deploy

import (
	"testing"

	"github.com/postroad/postroad/e2e/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
