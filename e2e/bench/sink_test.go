package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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
	"github.com/postroad/postroad/bench/peers"
	"github.com/postroad/postroad/bench/record"
	"github.com/postroad/postroad/bench/sink"
	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/confine"
)

// TestSinkAgainstSmtpSink feeds `postroad bench sink`, which writes down each message, and
// Postfix's smtp-sink, which does not, from Postfix's smtp-source, in alternation:
//
//	POSTROAD_LONG=1 go test ./e2e/bench -run TestSinkAgainstSmtpSink -v
//
// Other work on the machine slows down whom it meets, so there are many short rounds, and the rates
// are compared round by round: it is the middle of these ratios that counts. For the processor time
// it is the mean of all.
func TestSinkAgainstSmtpSink(t *testing.T) {
	kit.Measures(t)
	kit.NeedProgram(t, "smtp-sink", "postfix")
	kit.NeedProgram(t, "smtp-source", "postfix")
	const rounds, messages = 20, 5000
	theirs, ours := startReceiver(t, "smtp-sink", "-u", "nobody", "ADDR", "1000"), startBenchSink(t)
	both, sent := [2]*receiver{theirs, ours.receiver}, 0
	for _, conns := range []int{1, 20, 200} {
		rate, cpu := inTurn(t, fmt.Sprintf("%3d connections", conns),
			[2]string{"smtp-sink", "postroad sink"}, rounds, func(which int) speed {
				return both[which].measure(t, conns, messages)
			})
		sent += rounds * messages
		if rate < 1 || cpu >= 1 {
			t.Errorf("%d connections: the bar is smtp-sink's rate at less CPU", conns)
		}
	}
	ours.account(t, sent)
}

// receiver is a receiving server in a process of its own.
type receiver struct {
	addr string
	cmd  *exec.Cmd
	out  bytes.Buffer
}

// startReceiver runs a program; ADDR among its arguments becomes the address at which it is to
// listen.
func startReceiver(t *testing.T, program string, args ...string) *receiver {
	t.Helper()
	r := &receiver{addr: kit.FreeAddr(t)}
	for i, a := range args {
		if a == "ADDR" {
			args[i] = r.addr
		}
	}
	r.cmd = exec.Command(program, args...)
	r.cmd.Stdout = &r.out
	if err := confine.Start(r.cmd); err != nil {
		t.Fatal(err)
	}
	// has ended already, when all went well
	t.Cleanup(func() { r.cmd.Process.Kill(); r.cmd.Wait() })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := peers.WaitPort(ctx, r.addr); err != nil {
		t.Fatal(err)
	}
	return r
}

// measure sends messages to the receiver. When smtp-source ends, all of them were answered.
func (r *receiver) measure(t *testing.T, conns, messages int) speed {
	t.Helper()
	pids := []int{r.cmd.Process.Pid}
	cpu, start := measure.CPU(pids), time.Now()
	smtpSource(t, r.addr, conns, messages, 4096)
	took := time.Since(start)
	cpu = measure.CPU(pids) - cpu
	return speed{float64(messages) / took.Seconds(),
		float64(cpu.Microseconds()) / float64(messages)}
}

// benchSink is `postroad bench sink` with a record.
type benchSink struct {
	*receiver
	record string
}

func startBenchSink(t *testing.T, args ...string) *benchSink {
	t.Helper()
	record := filepath.Join(t.TempDir(), "sink.rec")
	args = append([]string{"bench", "sink", "--listen", "ADDR", "--record", record, "--json"},
		args...)
	return &benchSink{startReceiver(t, kit.Binary(t, ""), args...), record}
}

// account stops the sink and compares what it says and what it has written down with what was sent.
func (b *benchSink) account(t *testing.T, sent int) {
	t.Helper()
	if err := errors.Join(b.cmd.Process.Signal(syscall.SIGTERM), b.cmd.Wait()); err != nil {
		t.Fatal(err)
	}
	var summary struct{ Messages, Unrecorded int }
	if err := json.Unmarshal(b.out.Bytes(), &summary); err != nil {
		t.Fatalf("%v in %s", err, &b.out)
	}
	if summary.Messages != sent || summary.Unrecorded != 0 {
		t.Errorf("%d sent, and the sink says: %s", sent, &b.out)
	}
	f, err := os.Open(b.record)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := record.ReadReceived(f)
	if err != nil || l.Len() != sent {
		t.Errorf("%d sent, %d in the record, %v", sent, l.Len(), err)
	}
}

// TestBenchCheckFindsALoss: the records of both ends agree; and when the sink leaves a message out
// of its record, as if it had been lost, the comparison names it and fails.
func TestBenchCheckFindsALoss(t *testing.T) {
	for _, drop := range []int{0, 7} {
		t.Setenv(sink.DropVariable, strconv.Itoa(drop))
		s := startBenchSink(t)
		sent := filepath.Join(t.TempDir(), "sent.rec")
		out, err := exec.Command(kit.Binary(t, ""), "bench", "send", "--messages", "50",
			"--connections", "3", "--record", sent, s.addr).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if err := errors.Join(s.cmd.Process.Signal(syscall.SIGTERM), s.cmd.Wait()); err != nil {
			t.Fatal(err)
		}
		out, err = exec.Command(kit.Binary(t, ""), "bench", "check", sent,
			s.record).CombinedOutput()
		want := " 50 delivered, 0 lost, 0 changed"
		if drop > 0 {
			want = " 49 delivered, 1 lost, 0 changed"
		}
		if (err != nil) != (drop > 0) || !strings.Contains(string(out), want) {
			t.Errorf("drop %d: %v, want %q in\n%s", drop, err, want, out)
		}
	}
}
