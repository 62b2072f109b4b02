package kit

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/peers"
	"github.com/postroad/postroad/internal/testkit/confine"
)

func TestMain(m *testing.M) { Main(m) }

// sacrificed makes TestSacrificed what it is called.
const sacrificed = "POSTROAD_SACRIFICED"

// TestNothingOutlivesTheTests: a test binary is killed, or ended by its time-out, while it has
// nodes, a Postfix and an smtp-sink. None of their processes is left.
func TestNothingOutlivesTheTests(t *testing.T) {
	Need(t, peers.PostfixAvailable())
	here, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	Binary(t, "") // so that the time-out is not spent on it
	for _, c := range []struct{ name, timeout string }{{"killed", "10m"}, {"timed out", "20s"}} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run", "^TestSacrificed$", "-test.timeout", c.timeout)
			cmd.Env = append(os.Environ(), confine.Variable+"=", sacrificed+"=1")
			cmd.Stderr = os.Stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := confine.Start(cmd); err != nil {
				t.Fatal(err)
			}
			defer cmd.Wait()
			space := ""
			for lines := bufio.NewScanner(out); space == "" && lines.Scan(); {
				space, _ = strings.CutPrefix(lines.Text(), "all runs in ")
				space, _ = strings.CutPrefix(space, here) // it is not confined: see below
			}
			if space == "" {
				cmd.Process.Kill()
				Need(t, fmt.Errorf("tests may not have namespaces of their own here"))
			}
			all := strings.Join(programsIn(space), " ")
			for _, name := range []string{"postroad", "master", "smtpd", "smtp-sink"} {
				if !strings.Contains(all, name) {
					t.Fatalf("%s is not among the processes that are to end: %s", name, all)
				}
			}
			if c.name == "killed" {
				cmd.Process.Signal(syscall.SIGKILL)
			}
			Eventually(t, time.Minute, func() bool { return len(programsIn(space)) == 0 },
				func() string { return fmt.Sprint("what lives on: ", programsIn(space)) })
		})
	}
}

// TestSacrificed starts what TestNothingOutlivesTheTests looks for, and waits for its end.
func TestSacrificed(t *testing.T) {
	if os.Getenv(sacrificed) == "" {
		t.Skip("skipped: it is a part of TestNothingOutlivesTheTests")
	}
	sink := StartSmtpSink(t)
	pf := StartPostfix(t, peers.PostfixOptions{Relayhost: "[127.0.0.1]:" + sink.Port})
	n := NewNode(t, NodeOptions{})
	n.Start()
	SendOne(t, pf.Addr, "a@client.example", "Subject: x\r\n\r\n", "b@sink.example")
	DirectClusterOf(t, "", 2, "", "")
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("all runs in %s\n", space)
	select {}
}

// programsIn returns the names of the processes in a namespace.
func programsIn(space string) (names []string) {
	links, _ := filepath.Glob("/proc/[0-9]*/ns/pid")
	for _, l := range links {
		if in, _ := os.Readlink(l); in != space {
			continue
		}
		name, _ := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(l)), "comm"))
		names = append(names, strings.TrimSpace(string(name)))
	}
	return names
}
