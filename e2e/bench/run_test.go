package bench

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/report"
	"github.com/postroad/postroad/bench/sink"
	"github.com/postroad/postroad/e2e/kit"
)

// benchRun runs `postroad bench run` in the short form and returns its report and exit status.
func benchRun(t *testing.T, env []string, args ...string) (*report.Report, int, string) {
	t.Helper()
	out := t.TempDir()
	cmd := exec.Command(kit.Binary(t, ""),
		append([]string{"bench", "run", "--short", "--dir", kit.Scratch(t), "--out", out},
			args...)...)
	cmd.Env = append(os.Environ(), env...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(out, "report.json"))
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	defer f.Close()
	r, err := report.ReadJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"report.md", "report.html"} {
		if text, err := os.ReadFile(filepath.Join(out, form)); err != nil || len(text) < 1000 {
			t.Errorf("%s has %d octets: %v", form, len(text), err)
		}
	}
	return r, cmd.ProcessState.ExitCode(), said.String()
}

// TestBenchRun: the scenarios run against our node in the short form; every message is accounted
// for.
func TestBenchRun(t *testing.T) {
	scenarios := []string{"relay", "--only", "4 KiB, 20 connections"}
	if kit.Long() {
		scenarios = []string{"all"}
	}
	r, status, said := benchRun(t, nil, append(scenarios, "--system", "node")...)
	if status != 0 || !r.Sound() {
		t.Fatalf("exit status %d\n%s", status, said)
	}
	if r.Took >= time.Minute || !r.Short {
		t.Errorf("the short form has taken %v", r.Took)
	}
	for _, s := range r.Scenarios {
		if len(s.Bars) > 0 {
			t.Errorf("the short form judges: %+v", s.Bars)
		}
		for _, c := range s.Cells {
			for _, res := range c.Results {
				if rate, cpu := res.Values["rate"], res.Values["cpu"]; s.Name == "relay" &&
					(len(rate) == 0 || rate[0] <= 0 || len(cpu) == 0 || cpu[0] <= 0) {
					t.Errorf("%s, %s: %+v", s.Name, c.Name, res)
				}
				if !strings.Contains(res.Integrity, "all arrived") {
					t.Errorf("%s, %s: integrity %q", s.Name, c.Name, res.Integrity)
				}
			}
		}
	}
}

// TestBenchRunSeesLoss: the receiving server leaves one message out of its record, and the run says
// so and fails.
func TestBenchRunSeesLoss(t *testing.T) {
	r, status, said := benchRun(t, []string{sink.DropVariable + "=7"}, "relay", "--only",
		"4 KiB, 20 connections", "--system", "node")
	if status == 0 || r.Sound() || !strings.Contains(said, "1 recipients lost") {
		t.Errorf("exit status %d\n%s", status, said)
	}
}
