package measure

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

// Trace counts the fsyncs of what runs under it, by strace, which stops it at these calls only.
// Even so it slows what it counts: rates are taken without it.
type Trace struct{ log string }

// TraceAvailable returns nil when fsyncs can be counted.
func TraceAvailable() error {
	if _, err := exec.LookPath("strace"); err != nil {
		return errors.New("strace is not installed (apt-get install strace)")
	}
	return nil
}

// NewTrace makes a trace that keeps its log in a file.
func NewTrace(log string) *Trace { return &Trace{log} }

// Under returns the command that traces another, which is to be appended.
func (t *Trace) Under() []string {
	return []string{"strace", "-f", "-qq", "--seccomp-bpf", "-e",
		"trace=fsync,fdatasync,sync_file_range", "-e", "signal=none", "-o", t.log}
}

// A call that another thread's interrupts is printed in two lines; the first has the parenthesis.
var syncCall = regexp.MustCompile(`(?m)(fsync|fdatasync)\(`)

// Count returns how often what ran so far called fsync or fdatasync.
func (t *Trace) Count() (int, error) {
	b, err := os.ReadFile(t.log)
	if err != nil {
		return 0, fmt.Errorf("counting fsyncs: %w", err)
	}
	return len(syncCall.FindAll(b, -1)), nil
}

// Kernel returns the name and release of the kernel.
func Kernel() string {
	b, _ := os.ReadFile("/proc/version")
	f := strings.Fields(string(b))
	if len(f) < 3 {
		return "unknown"
	}
	return f[0] + " " + f[2]
}

// Processor returns the model of the processor.
func Processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok &&
			strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
