package bench

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/measure"
	"github.com/postroad/postroad/e2e/kit"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// TestBytesWritten measures write_bytes of /proc/PID/io per accepted octet, for bodies that do not
// compress: 1 GiB straight through, and 5 GiB into a backlog.
func TestBytesWritten(t *testing.T) {
	kit.Measures(t)
	const fast, backlog = 1024 * kit.Mebibyte, 5 * 1024 * kit.Mebibyte
	for _, size := range []int{4096, 65536} {
		for _, cell := range []struct {
			name  string
			bytes int64
			up    bool
			bound float64
		}{{"straight through", fast, true, 2.5}, {"backlog", backlog, false, 4}} {
			t.Run(fmt.Sprintf("%d KiB %s", size>>10, cell.name), func(t *testing.T) {
				written := writtenPerOctet(t, size, int(cell.bytes/int64(size)), cell.up)
				t.Logf("%.2f octets written per accepted octet", written)
				if written > cell.bound {
					t.Errorf("the bound is %.1f", cell.bound)
				}
			})
		}
	}
}

func writtenPerOctet(t *testing.T, size, count int, up bool) float64 {
	sink, err := mailtest.StartSink(mailtest.SinkOptions{Count: true})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	to := sink.Addr()
	if !up {
		to = kit.NewDeadPort(t).Addr().String()
	}
	n := kit.NewNode(t, kit.NodeOptions{Extra: kit.SmartHost(to)})
	n.Start()
	defer func() { n.Kill(); os.RemoveAll(n.Dir) }()
	// The body's octets are random printable ones: what compresses of them is a quarter, and
	// nothing is compressed here.
	gen := &mailtest.Generator{Seed: uint64(size), Run: "written", Domains: []string{"x.example"},
		Size: size}
	before := measure.Written(n.PID())
	kit.SendFixed(t, n.Relay, gen, 0, count, 20)
	if up {
		kit.Eventually(t, time.Minute, func() bool { return sink.Accepted() >= count },
			func() string { return n.Log() })
	}
	// The amount that the kernel has not been told yet is small: the log is synced, the state is
	// flushed at most once more.
	return float64(measure.Written(n.PID())-before) / float64(int64(size)*int64(count))
}
