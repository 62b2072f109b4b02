package kit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/measure"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// Rounds is how often a scenario is repeated.
func Rounds(brief, longer int) int {
	if Long() {
		return longer
	}
	return brief
}

// Long reports whether the long version of a scenario was asked for.
func Long() bool { return os.Getenv("POSTROAD_LONG") != "" }

// Measures skips a measurement, which says something only on a machine that does nothing else.
func Measures(t testing.TB) {
	t.Helper()
	if !Long() {
		t.Skip("skipped: a measurement is for the long run, POSTROAD_LONG=1")
	}
}

// Need skips the scenario when err is set, or fails it when every peer is required.
func Need(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if os.Getenv("POSTROAD_E2E") == "require" {
		t.Fatalf("POSTROAD_E2E=require: %v", err)
	}
	t.Skipf("skipped: %v", err)
}

// NeedProgram is Need for a program on the PATH.
func NeedProgram(t testing.TB, name, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		Need(t, fmt.Errorf("%s is not installed (apt-get install %s)", name, pkg))
	}
}

// Scratch returns a folder on the repository's file system.
func Scratch(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("POSTROAD_SCRATCH")
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "postroad-scratch")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := measure.CheckDisk(dir); err != nil {
		t.Fatalf("%v; POSTROAD_SCRATCH names it", err)
	}
	return dir
}

// FreeAddr returns an address of loopback where nobody listens.
func FreeAddr(t testing.TB) string {
	t.Helper()
	addr, err := mailtest.FreeAddr("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// Alone takes what there is once on the machine, a fixed name or port, until the test ends, and
// waits for whoever has it.
func Alone(t testing.TB, what string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(os.TempDir(), "postroad-"+what+".lock"),
		os.O_CREATE|os.O_RDWR, 0o666)
	if err == nil {
		t.Cleanup(func() { f.Close() })
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Eventually waits until cond holds, polling; it fails the test with what() after the limit.
func Eventually(t testing.TB, limit time.Duration, cond func() bool, what func() string) {
	t.Helper()
	for end := time.Now().Add(limit); ; {
		if cond() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what())
		}
		<-time.After(20 * time.Millisecond)
	}
}

// Mebibyte is 1 MiB.
const Mebibyte = 1 << 20

// RaiseFiles lets this process have so many files open.
func RaiseFiles(t *testing.T, want int) {
	t.Helper()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	if l.Cur < uint64(want) {
		l.Cur = min(l.Max, uint64(want))
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil || l.Cur < uint64(want) {
			t.Fatalf("this test needs %d descriptors, the limit is %d", want, l.Max)
		}
	}
}

// PortOf returns the port of an address.
func PortOf(t testing.TB, addr string) int {
	t.Helper()
	_, port, _ := strings.Cut(addr, ":")
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
