package cluster

import (
	"flag"
	"os"
	"testing"
)

// TestMain has more tests run side by side than there are processors: those of several members wait
// for elections and heartbeats most of the time. What -parallel says counts all the same.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
