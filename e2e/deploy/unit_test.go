package deploy

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/measure"
	"github.com/postroad/postroad/e2e/kit"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

const unitFile = "../../deploy/systemd/postroad.service"

// TestUnit has systemd look at the unit: nothing in it is unknown, ignored or missing, and the
// process may do little besides its work.
func TestUnit(t *testing.T) {
	kit.NeedProgram(t, "systemd-analyze", "systemd")
	unit, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	// systemd checks that the program exists, and it is not installed here.
	const program = "/usr/bin/postroad "
	if strings.Count(string(unit), program) != 1 {
		t.Fatalf("the unit must start %sonce", program)
	}
	installed := filepath.Join(t.TempDir(), filepath.Base(unitFile))
	text := strings.ReplaceAll(string(unit), program, kit.Binary(t, "")+" ")
	if err := os.WriteFile(installed, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", installed).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// 0.0 is nothing exposed, 10.0 a service without any protection; the threshold is in tenths.
	out, err = exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=20",
		installed).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

// TestUnitAllowsTheSystemCalls traces a node through its life: every system call that it makes is
// one that the unit's filter lets through.
func TestUnitAllowsTheSystemCalls(t *testing.T) {
	kit.NeedProgram(t, "systemd-analyze", "systemd")
	kit.NeedProgram(t, "strace", "strace")
	allowed := allowedCalls(t)
	for call, want := range map[string]bool{"fdatasync": true, "epoll_wait": true, "reboot": false,
		"mount": false, "setuid": false} {
		if allowed[call] != want {
			t.Fatalf("the filter allows %s: %v, want %v: was it read rightly?", call, !want, want)
		}
	}
	w := kit.NewWorld(t, 1, mailtest.SinkOptions{})
	log := filepath.Join(t.TempDir(), "calls")
	n := kit.NewNode(t, kit.NodeOptions{DNS: w.DNS.Addr(), Port: w.Port(),
		Under: []string{"strace", "-f", "-qq", "-e", "signal=none", "-o", log}})
	n.Start()
	// some of it is spilled to the disk
	gen := &mailtest.Generator{Seed: 9, Run: "calls", Domains: w.Domains, MaxSize: 5 << 20}
	sent, err := mailtest.Send(t.Context(), mailtest.SendOptions{Addr: n.Relay, Connections: 4,
		Count: 20, Message: gen.Message})
	if err != nil {
		t.Fatal(err)
	}
	if r := w.Settled(sent.Sent, mailtest.Rules{}, time.Minute); !r.OK() || r.Acknowledged == 0 {
		t.Fatalf("%v", r)
	}
	n.Stop()
	calls, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]int{}
	for _, m := range regexp.MustCompile(
		`(?m)^\d+ +([a-z0-9_]+)\(`).FindAllStringSubmatch(string(calls), -1) {
		made[m[1]]++
	}
	if made["fdatasync"] == 0 || made["epoll_wait"]+made["epoll_pwait"] == 0 {
		t.Fatalf("the trace has no %v: was it read rightly?", made)
	}
	for call, times := range made {
		if !allowed[call] {
			t.Errorf("%s is called %d times, and the unit's SystemCallFilter does not allow it",
				call, times)
		}
	}
}

// callSets returns what a name of SystemCallFilter stands for: itself, or with an '@' the calls of
// a set, which may have sets in it.
func callSets(t *testing.T) (expand func(name string) []string) {
	t.Helper()
	out, err := exec.Command("systemd-analyze", "syscall-filter", "--no-pager").Output()
	if err != nil {
		t.Fatal(err)
	}
	sets := map[string][]string{}
	set := ""
	for line := range strings.Lines(string(out)) {
		switch word := strings.TrimSpace(line); {
		case strings.HasPrefix(line, "@"):
			set = word
		case word != "" && !strings.HasPrefix(word, "#"):
			sets[set] = append(sets[set], word)
		}
	}
	expand = func(name string) (calls []string) {
		if !strings.HasPrefix(name, "@") {
			return []string{name}
		}
		for _, member := range sets[name] {
			calls = append(calls, expand(member)...)
		}
		return calls
	}
	return expand
}

// allowedCalls are the system calls that the unit's SystemCallFilter lines let through:
// systemd.exec(5).
func allowedCalls(t *testing.T) map[string]bool {
	t.Helper()
	expand := callSets(t)
	unit, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{}
	for _, m := range regexp.MustCompile(
		`(?m)^SystemCallFilter=(~?)(.*)$`).FindAllStringSubmatch(string(unit), -1) {
		for _, name := range strings.Fields(m[2]) {
			for _, call := range expand(name) {
				allowed[call] = m[1] == ""
			}
		}
	}
	for _, call := range expand("@default") { // always allowed
		allowed[call] = true
	}
	return allowed
}

// TestServiceManagerIsTold plays systemd to a real node: ready, signs of life, reload, stop.
func TestServiceManagerIsTold(t *testing.T) {
	n := kit.NewNode(t, kit.NodeOptions{})
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", fmt.Sprint((300 * time.Millisecond).Microseconds()))
	// expect waits for a notification and returns its status; signs of life may come at any time.
	expect := func(first string) (status string) {
		t.Helper()
		b := make([]byte, 4096)
		for {
			socket.SetReadDeadline(time.Now().Add(time.Minute))
			size, err := socket.Read(b)
			if err != nil {
				t.Fatalf("waiting for %s: %v", first, err)
			}
			got, status, _ := strings.Cut(string(b[:size]), "\nSTATUS=")
			if got == first {
				return status
			}
			if got != "WATCHDOG=1" {
				t.Fatalf("got %q, want %s", b[:size], first)
			}
		}
	}
	n.Start()
	if status := expect("READY=1"); !strings.Contains(status, n.Relay) {
		t.Errorf("the status is %q, which does not name the listener %s", status, n.Relay)
	}
	for range 3 {
		expect("WATCHDOG=1")
	}
	if err := syscall.Kill(n.PID(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	expect("RELOADING=1")
	expect("READY=1")
	for _, pid := range measure.Tree(n.PID()) {
		syscall.Kill(pid, syscall.SIGTERM)
	}
	expect("STOPPING=1")
	<-n.Done
	if code := n.Cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit status %d after SIGTERM\n%s", code, n.Log())
	}
}

// TestDeployedConfigurations: every configuration in deploy is one that the program takes.
func TestDeployedConfigurations(t *testing.T) {
	files, err := filepath.Glob("../../deploy/*/*.toml")
	if err != nil || len(files) < 3 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), "token_file") {
				needJoin(t)
			}
			checkConfig(t, withToken(t, string(text)))
		})
	}
}

// needJoin skips the test when the program does not know how to form a cluster by its
// configuration.
func needJoin(t *testing.T) {
	t.Helper()
	text := "[cluster]\njoin = [\"mx1:7025\"]\ntoken_file = \"/run/secrets/postroad_token\"\n"
	if out, err := tryConfig(t, withToken(t, text)); err != nil {
		if !strings.Contains(out, "there is no such key") {
			t.Fatalf("%v\n%s", err, out)
		}
		t.Skip("skipped: this build has no cluster.join and cluster.token_file: nodes cannot " +
			"form a cluster by themselves")
	}
}

// withToken replaces the secret that Compose mounts by a file that is here.
func withToken(t *testing.T, text string) string {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("a-token-for-tests-only\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(text, "/run/secrets/postroad_token", token)
}

func checkConfig(t *testing.T, text string) {
	t.Helper()
	if out, err := tryConfig(t, text); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func tryConfig(t *testing.T, text string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "postroad.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(kit.Binary(t, ""), "config", "check", "--config",
		file).CombinedOutput()
	return string(out), err
}
