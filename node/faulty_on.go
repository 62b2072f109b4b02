//go:build faults

package node

import (
	"fmt"
	"os"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/internal/testkit/faults/disk"
)

// faulty lets the disk misbehave as the file says that POSTROAD_FAULT_FILE names.
func faulty(o cluster.Options) cluster.Options {
	if control := os.Getenv("POSTROAD_FAULT_FILE"); control != "" {
		d := disk.New(control)
		o.FS, o.Boot = d, fmt.Sprintf("%s/%d", cluster.BootID(), d.PowerLosses())
	}
	return o
}
