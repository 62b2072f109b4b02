package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// ends waits until the node has ended by itself, and returns its exit status.
func (n *node) ends(limit time.Duration) int {
	n.t.Helper()
	select {
	case <-n.done:
	case <-time.After(limit):
		n.t.Fatalf("the node has not ended within %v:\n%s", limit, n.log())
	}
	return n.cmd.ProcessState.ExitCode()
}

// mustEnd is ends with what must come out.
func (n *node) mustEnd(limit time.Duration, status int, words ...string) {
	n.t.Helper()
	if got := n.ends(limit); got != status {
		n.t.Errorf("exit status %d, want %d:\n%s", got, status, n.log())
	}
	for _, w := range words {
		if !strings.Contains(n.log(), w) {
			n.t.Errorf("it does not say %q:\n%s", w, n.log())
		}
	}
	n.cmd = nil
}

// says returns status and body of a path of the administration's address.
func (n *node) says(path string) (int, string) {
	resp, err := http.Get("http://" + n.Admin + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// smallDisk gives the node a data directory on a small file system of its own, in a mount namespace
// that ends with the test. The files are seen from outside below the path that it returns.
func smallDisk(t *testing.T, n *node, options string) (seen string) {
	t.Helper()
	return mounted(t, n, "-t", "tmpfs", "-o", options, "tmpfs")
}

// smallExt4 is smallDisk with a file system that keeps what a preallocation got before it failed.
func smallExt4(t *testing.T, n *node, octets int64) (seen string) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, octets); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", image).CombinedOutput(); err != nil {
		need(t, fmt.Errorf("mkfs.ext4: %w: %s", err, out))
	}
	return mounted(t, n, "-o", "loop", image)
}

// mounted mounts the node's data directory by mount(8).
func mounted(t *testing.T, n *node, how ...string) (seen string) {
	t.Helper()
	dir := filepath.Join(n.Dir, "data")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(
		"unshare",
		append([]string{"-m", "sh", "-c", `mount "$@" && echo mounted && read x`, "sh"},
			append(how, dir)...)...,
	)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		need(t, err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	if _, err := io.ReadFull(out, make([]byte, len("mounted\n"))); err != nil {
		need(t, errors.New("a file system can only be mounted by root"))
	}
	pid := fmt.Sprint(cmd.Process.Pid)
	n.under = []string{"nsenter", "-m", "-t", pid}
	return filepath.Join("/proc", pid, "root", dir)
}

// fill writes a file until there is no room left.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var s syscall.Statfs_t
	if err := syscall.Fstatfs(int(f.Fd()), &s); err != nil {
		t.Fatal(err)
	}
	_ = syscall.Fallocate(int(f.Fd()), 0, 0, int64(s.Bavail)*s.Bsize) // most of it at once
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	page := bytes.Repeat([]byte("x"), 4096)
	for err == nil {
		_, err = f.Write(page)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// TestStartOnFullDisk kills a node with mail in its queue and fills its disk to the last octet: it
// starts by means of the room that it had set aside, answers new mail with 452, delivers what it
// has, and takes mail again when there is room. Without that room it ends with 75.
func TestStartOnFullDisk(t *testing.T) {
	w := newWorld(t, 1, mailtest.SinkOptions{})
	n := newNode(
		t,
		nodeOptions{DNS: w.DNS.Addr(), Port: w.port(), Extra: "[events]\nfile = \"events.log\"\n"},
	)
	seen := smallDisk(t, n, "size=400m")
	n.start()
	n.inside("suspend", "--domain", w.Domains[0], "--reason", "for a test")
	gen := &mailtest.Generator{Seed: 10, Run: "full", Domains: w.Domains, MaxSize: 20 << 10}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	report, err := mailtest.Send(
		ctx,
		mailtest.SendOptions{Addr: n.Relay, Count: 20, Message: gen.Message},
	)
	if err != nil || len(report.Sent) != 20 {
		t.Fatal(err)
	}
	awaitReserve(t, seen)
	n.kill()
	fill(t, filepath.Join(seen, "fill"))

	n.launch()
	eventually(
		t,
		30*time.Second,
		func() bool { status, _ := n.says("/livez"); return status == http.StatusOK },
		func() string { return "the node does not start on a full disk:\n" + n.log() },
	)
	if status, body := n.says("/readyz"); status != http.StatusServiceUnavailable ||
		!strings.Contains(body, "MiB free") {
		t.Errorf("/readyz on a full disk: %d %s", status, body)
	}
	refused, _ := mailtest.Send(
		ctx,
		mailtest.SendOptions{Addr: n.Relay, First: 100, Count: 1, Message: gen.Message},
	)
	if s := refused.Sent[0]; len(s.Refused)+len(s.Accepted) > 0 && len(s.Accepted) > 0 ||
		s.Err != nil && !strings.Contains(s.Err.Error(), "452") {
		t.Errorf("new mail on a full disk: %+v", s)
	}
	n.inside("resume", "--domain", w.Domains[0])
	if r := w.settled(report.Sent, mailtest.Rules{}, time.Minute); !r.OK() {
		t.Errorf("what was in the queue: %v\n%s", r, n.log())
	}
	remove(t, filepath.Join(seen, "fill"))
	eventually(t, 10*time.Second, func() bool {
		status, _ := n.says("/readyz")
		_, err := os.Stat(filepath.Join(seen, "reserve", "15"))
		return status == http.StatusOK && err == nil
	}, func() string { return "there is room, and no mail is taken or no room set aside" })

	// Full while it runs, and then told to stop.
	fill(t, filepath.Join(seen, "fill"))
	began := time.Now()
	n.terminate()
	n.ends(75 * time.Second)
	t.Logf("a stop on a full disk took %.1f s", time.Since(began).Seconds())

	// Without the reserve.
	remove(t, filepath.Join(seen, "reserve"))
	remove(t, filepath.Join(seen, "fill"))
	fill(t, filepath.Join(seen, "fill"))
	n.launch()
	n.mustEnd(20*time.Second, 75, "is full: make room")
	remove(t, filepath.Join(seen, "fill"))
	n.start()
}

// TestStartOnSmallDisk: the room that is set aside is less than a segment, and a start that is
// killed and begun again does not spend it on its log.
func TestStartOnSmallDisk(t *testing.T) {
	n := newNode(t, nodeOptions{})
	seen := smallExt4(t, n, 200<<20)
	n.start()
	awaitReserve(t, seen)
	n.kill()
	fill(t, filepath.Join(seen, "fill"))
	for range 3 {
		n.launch()
		eventually(
			t,
			20*time.Second,
			func() bool { status, _ := n.says("/livez"); return status == http.StatusOK },
			func() string { return "the node does not start on a full disk:\n" + n.log() },
		)
		n.kill()
	}
}

// TestStartOnSpentDisk: no room at the very first start, no more files, a disk that can only be
// read.
func TestStartOnSpentDisk(t *testing.T) {
	t.Run("first start", func(t *testing.T) {
		n := newNode(t, nodeOptions{})
		seen := smallDisk(t, n, "size=200m")
		fill(t, filepath.Join(seen, "fill"))
		n.launch()
		n.mustEnd(20*time.Second, 75, "is full: make room")
		remove(t, filepath.Join(seen, "fill"))
		n.start()
	})
	t.Run("files", func(t *testing.T) {
		n := newNode(t, nodeOptions{})
		seen := smallDisk(t, n, "size=400m,nr_inodes=80")
		n.start()
		n.stop()
		remove(t, filepath.Join(seen, "reserve"))
		made := 0
		for ; ; made++ {
			if err := os.WriteFile(filepath.Join(seen, fmt.Sprint("f", made)), nil, 0o600); err != nil {
				break
			}
		}
		n.launch()
		n.mustEnd(20*time.Second, 75, "is full: make room")
		for i := range made {
			remove(t, filepath.Join(seen, fmt.Sprint("f", i)))
		}
		n.start()
	})
	t.Run("read-only", func(t *testing.T) {
		n := newNode(t, nodeOptions{})
		smallDisk(t, n, "size=400m")
		n.start()
		n.stop()
		for _, how := range []string{"ro", "rw"} {
			mount := append(
				append([]string{}, n.under...),
				"mount",
				"-o",
				"remount,"+how,
				filepath.Join(n.Dir, "data"),
			)
			if out, err := exec.Command(mount[0], mount[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if how == "ro" {
				n.launch()
				n.mustEnd(20*time.Second, 74, "read-only")
			}
		}
		n.start()
	})
}

// TestStartWithFailingDisk: writes fail for want of room in the midst of a start, or hang.
func TestStartWithFailingDisk(t *testing.T) {
	control := filepath.Join(t.TempDir(), "fault")
	t.Setenv("POSTROAD_FAULT_FILE", control)
	say := func(word string) {
		t.Helper()
		if err := os.WriteFile(control, []byte(word+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n := newNode(t, nodeOptions{Tags: "faults"})
	say("full")
	n.launch()
	n.mustEnd(20*time.Second, 75, "is full: make room")
	say("")
	n.start()
	n.kill()
	say("full")
	n.launch()
	n.mustEnd(20*time.Second, 75, "is full: make room")
	say("stall")
	n.launch()
	eventually(t, 10*time.Second, n.opened, func() string { return "it does not open its store" })
	n.terminate()
	n.mustEnd(20*time.Second, 75, "starting store: it hangs")
	say("")
	n.start()
	say("full") // and told to stop
	n.terminate()
	n.ends(75 * time.Second)
}

// terminate sends SIGTERM and does not wait.
func (n *node) terminate() { n.cmd.Process.Signal(syscall.SIGTERM) }

// opened reports whether the process has a directory or file of the node's open: it looks out for
// signals, and is at its start.
func (n *node) opened() bool {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", n.PID()))
	return slices.ContainsFunc(links, func(l string) bool {
		to, _ := os.Readlink(l)
		return strings.HasPrefix(to, n.Dir)
	})
}

// inside is cli in the node's mount namespace.
func (n *node) inside(args ...string) string {
	n.t.Helper()
	args = append(
		append(append([]string{}, n.under...), n.program),
		append(args, "--config", n.Config)...)
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// awaitReserve waits until the node with that data directory has set its room aside.
func awaitReserve(t *testing.T, data string) {
	t.Helper()
	eventually(
		t,
		10*time.Second,
		func() bool { _, err := os.Stat(filepath.Join(data, "reserve", "15")); return err == nil },
		func() string { return "no room is set aside" },
	)
}
