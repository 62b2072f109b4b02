package kit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/peers"
	"github.com/postroad/postroad/internal/testkit/confine"
)

func TestMain(m *testing.M) { Main(m) }

// sacrificed makes TestSacrificed what it is called.
const sacrificed = "POSTROAD_SACRIFICED"

// TestNothingOutlivesTheTests: a test binary is killed, or panics, as it does after its time-out,
// while it has nodes, a Postfix and an smtp-sink. None of their processes is left.
func TestNothingOutlivesTheTests(t *testing.T) {
	Need(t, peers.PostfixAvailable())
	here, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func(*exec.Cmd, io.Closer){
		"killed": func(cmd *exec.Cmd, _ io.Closer) { cmd.Process.Kill() },
		"panics": func(_ *exec.Cmd, in io.Closer) { in.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run", "^TestSacrificed$")
			cmd.Env = append(os.Environ(), confine.Variable+"=", sacrificed+"=1")
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := confine.Start(cmd); err != nil {
				t.Fatal(err)
			}
			defer cmd.Wait()
			space, found := "", false
			for lines := bufio.NewScanner(out); !found && lines.Scan(); {
				space, found = strings.CutPrefix(lines.Text(), "all runs in ")
			}
			if space == here {
				in.Close()
				Need(t, errors.New("tests may not have namespaces of their own here"))
			}
			all := strings.Join(programsIn(space), " ")
			for _, name := range []string{"postroad", "master", "smtpd", "smtp-sink"} {
				if !strings.Contains(all, name) {
					t.Fatalf("%s is not among the processes that are to end: %s", name, all)
				}
			}
			end(cmd, in)
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
	io.Copy(io.Discard, os.Stdin)
	go panic("as after the time-out")
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
