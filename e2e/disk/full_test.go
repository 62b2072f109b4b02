package disk

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

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/confine"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// ends waits until the node has ended by itself, and returns its exit status.
func ends(n *kit.Node, limit time.Duration) int {
	n.T.Helper()
	select {
	case <-n.Done:
	case <-time.After(limit):
		n.T.Fatalf("the node has not ended within %v:\n%s", limit, n.Log())
	}
	return n.Cmd.ProcessState.ExitCode()
}

// mustEnd is ends with what must come out.
func mustEnd(n *kit.Node, limit time.Duration, status int, words ...string) {
	n.T.Helper()
	if got := ends(n, limit); got != status {
		n.T.Errorf("exit status %d, want %d:\n%s", got, status, n.Log())
	}
	for _, w := range words {
		if !strings.Contains(n.Log(), w) {
			n.T.Errorf("it does not say %q:\n%s", w, n.Log())
		}
	}
	n.Cmd = nil
}

// says returns status and body of a path of the administration's address.
func says(n *kit.Node, path string) (int, string) {
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
func smallDisk(t *testing.T, n *kit.Node, options string) (seen string) {
	t.Helper()
	return mounted(t, n, "-t", "tmpfs", "-o", options, "tmpfs")
}

// smallExt4 is smallDisk with a file system that keeps what a preallocation got before it failed.
func smallExt4(t *testing.T, n *kit.Node, octets int64) (seen string) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, octets); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-m", "0",
		image).CombinedOutput(); err != nil {
		kit.Need(t, fmt.Errorf("mkfs.ext4: %w: %s", err, out))
	}
	return mounted(t, n, "-o", "loop", image)
}

// mounted mounts the node's data directory by mount(8).
func mounted(t *testing.T, n *kit.Node, how ...string) (seen string) {
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
	if err := confine.Start(cmd); err != nil {
		kit.Need(t, err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	if _, err := io.ReadFull(out, make([]byte, len("mounted\n"))); err != nil {
		kit.Need(t, errors.New("a file system can only be mounted by root"))
	}
	pid := fmt.Sprint(cmd.Process.Pid)
	n.Under = []string{"nsenter", "-m", "-t", pid}
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
	w := kit.NewWorld(t, 1, mailtest.SinkOptions{})
	n := kit.NewNode(
		t,
		kit.NodeOptions{DNS: w.DNS.Addr(), Port: w.Port(),
			Extra: "[events]\nfile = \"events.log\"\n"},
	)
	seen := smallDisk(t, n, "size=400m")
	n.Start()
	inside(n, "suspend", "--domain", w.Domains[0], "--reason", "for a test")
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
	n.Kill()
	fill(t, filepath.Join(seen, "fill"))

	n.Launch()
	kit.Eventually(
		t,
		30*time.Second,
		func() bool { status, _ := says(n, "/livez"); return status == http.StatusOK },
		func() string { return "the node does not start on a full disk:\n" + n.Log() },
	)
	if status, body := says(n, "/readyz"); status != http.StatusServiceUnavailable ||
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
	inside(n, "resume", "--domain", w.Domains[0])
	if r := w.Settled(report.Sent, mailtest.Rules{}, time.Minute); !r.OK() {
		t.Errorf("what was in the queue: %v\n%s", r, n.Log())
	}
	remove(t, filepath.Join(seen, "fill"))
	kit.Eventually(t, 10*time.Second, func() bool {
		status, _ := says(n, "/readyz")
		_, err := os.Stat(filepath.Join(seen, "reserve", "15"))
		return status == http.StatusOK && err == nil
	}, func() string { return "there is room, and no mail is taken or no room set aside" })

	// Full while it runs, and then told to stop.
	fill(t, filepath.Join(seen, "fill"))
	began := time.Now()
	terminate(n)
	ends(n, 75*time.Second)
	t.Logf("a stop on a full disk took %.1f s", time.Since(began).Seconds())

	// Without the reserve.
	remove(t, filepath.Join(seen, "reserve"))
	remove(t, filepath.Join(seen, "fill"))
	fill(t, filepath.Join(seen, "fill"))
	n.Launch()
	mustEnd(n, 20*time.Second, 75, "is full: make room")
	remove(t, filepath.Join(seen, "fill"))
	n.Start()
}

// TestStartOnSmallDisk: the room that is set aside is less than a segment, and a start that is
// killed and begun again does not spend it on its log.
func TestStartOnSmallDisk(t *testing.T) {
	n := kit.NewNode(t, kit.NodeOptions{})
	seen := smallExt4(t, n, 200<<20)
	n.Start()
	awaitReserve(t, seen)
	n.Kill()
	fill(t, filepath.Join(seen, "fill"))
	for range 3 {
		n.Launch()
		kit.Eventually(
			t,
			20*time.Second,
			func() bool { status, _ := says(n, "/livez"); return status == http.StatusOK },
			func() string { return "the node does not start on a full disk:\n" + n.Log() },
		)
		n.Kill()
	}
}

// TestStartOnSpentDisk: no room at the very first start, no more files, a disk that can only be
// read.
func TestStartOnSpentDisk(t *testing.T) {
	t.Run("first start", func(t *testing.T) {
		n := kit.NewNode(t, kit.NodeOptions{})
		seen := smallDisk(t, n, "size=200m")
		fill(t, filepath.Join(seen, "fill"))
		n.Launch()
		mustEnd(n, 20*time.Second, 75, "is full: make room")
		remove(t, filepath.Join(seen, "fill"))
		n.Start()
	})
	t.Run("files", func(t *testing.T) {
		n := kit.NewNode(t, kit.NodeOptions{})
		seen := smallDisk(t, n, "size=400m,nr_inodes=80")
		n.Start()
		n.Stop()
		remove(t, filepath.Join(seen, "reserve"))
		made := 0
		for ; ; made++ {
			if err := os.WriteFile(filepath.Join(seen, fmt.Sprint("f", made)), nil,
				0o600); err != nil {
				break
			}
		}
		n.Launch()
		mustEnd(n, 20*time.Second, 75, "is full: make room")
		for i := range made {
			remove(t, filepath.Join(seen, fmt.Sprint("f", i)))
		}
		n.Start()
	})
	t.Run("read-only", func(t *testing.T) {
		n := kit.NewNode(t, kit.NodeOptions{})
		smallDisk(t, n, "size=400m")
		n.Start()
		n.Stop()
		for _, how := range []string{"ro", "rw"} {
			mount := append(
				append([]string{}, n.Under...),
				"mount",
				"-o",
				"remount,"+how,
				filepath.Join(n.Dir, "data"),
			)
			if out, err := exec.Command(mount[0], mount[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if how == "ro" {
				n.Launch()
				mustEnd(n, 20*time.Second, 74, "read-only")
			}
		}
		n.Start()
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
	n := kit.NewNode(t, kit.NodeOptions{Tags: "faults"})
	say("full")
	n.Launch()
	mustEnd(n, 20*time.Second, 75, "is full: make room")
	say("")
	n.Start()
	n.Kill()
	say("full")
	n.Launch()
	mustEnd(n, 20*time.Second, 75, "is full: make room")
	say("stall")
	n.Launch()
	kit.Eventually(t, 10*time.Second, func() bool { return opened(n) },
		func() string { return "it does not open its store" })
	terminate(n)
	mustEnd(n, 20*time.Second, 75, "starting store: it hangs")
	say("")
	n.Start()
	say("full") // and told to stop
	terminate(n)
	ends(n, 75*time.Second)
}

// terminate sends SIGTERM and does not wait.
func terminate(n *kit.Node) { n.Cmd.Process.Signal(syscall.SIGTERM) }

// opened reports whether the process has a directory or file of the node's open: it looks out for
// signals, and is at its start.
func opened(n *kit.Node) bool {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", n.PID()))
	return slices.ContainsFunc(links, func(l string) bool {
		to, _ := os.Readlink(l)
		return strings.HasPrefix(to, n.Dir)
	})
}

// inside is cli in the node's mount namespace.
func inside(n *kit.Node, args ...string) string {
	n.T.Helper()
	args = append(
		append(append([]string{}, n.Under...), n.Program),
		append(args, "--config", n.Config)...)
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		n.T.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// awaitReserve waits until the node with that data directory has set its room aside.
func awaitReserve(t *testing.T, data string) {
	t.Helper()
	kit.Eventually(
		t,
		10*time.Second,
		func() bool { _, err := os.Stat(filepath.Join(data, "reserve", "15")); return err == nil },
		func() string { return "no room is set aside" },
	)
}
