package measure

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestGroup: a process whose parent has ended is in the group's account all the same, and Close
// ends it.
func TestGroup(t *testing.T) {
	g := NewGroup()
	if !g.Whole() {
		g.Close()
		t.Skip("skipped: no control groups (version 2), or not ours to make")
	}
	before := g.CPU()
	orphan := `(while :; do :; done) & echo started` // the shell ends, the loop goes on
	args := append(g.Under(), "/bin/sh", "-c", orphan)
	cmd := exec.Command(args[0], args[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.Read(make([]byte, 16))
	for end := time.Now().Add(
		20 * time.Second); g.CPU()-before < 50*time.Millisecond; <-time.After(
		5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the loop has used %v", g.CPU()-before)
		}
	}
	pids := g.PIDs()
	if len(pids) == 0 || g.Memory() <= 0 {
		t.Errorf("processes %v with %d octets", pids, g.Memory())
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	for _, pid := range pids {
		if Alive(pid) {
			t.Errorf("process %d goes on", pid)
		}
	}
}

// TestDisk: memory is no disk; a disk has figures.
func TestDisk(t *testing.T) {
	if _, err := CheckDisk("/dev/shm"); err == nil || !strings.Contains(err.Error(), "tmpfs") {
		t.Errorf("/dev/shm: %v", err)
	}
	dir := t.TempDir()
	if _, err := CheckDisk(dir); err != nil {
		t.Skipf("skipped: %v", err)
	}
	d, err := MeasureDisk(dir)
	if err != nil || d.Fsync <= 0 || d.Sequential <= 0 || d.FileSystem == "" {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestTrace(t *testing.T) {
	log := filepath.Join(t.TempDir(), "strace")
	text := "12 fdatasync(7 <unfinished ...>\n13 fsync(3) = 0\n12 <... fdatasync resumed>) = " +
		"0\n12 sync_file_range(3, 0, 1) = 0\n"
	if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := NewTrace(log).Count(); n != 2 || err != nil {
		t.Errorf("%d fsyncs, %v", n, err)
	}
}
