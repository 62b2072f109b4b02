package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/load"
	"github.com/postroad/postroad/bench/peers"
	"github.com/postroad/postroad/bench/record"
	"github.com/postroad/postroad/bench/sink"
	"github.com/postroad/postroad/e2e/kit"
)

// TestSendAgainstSmtpSource sends to Postfix's smtp-sink with `postroad bench send` and with
// Postfix's smtp-source, in alternation: no pipelining, connections reused, 4 KiB. Under a
// real-time priority its figure is that of a machine of one's own:
//
//	POSTROAD_LONG=1 chrt -r 5 go test ./e2e/bench -run TestSendAgainstSmtpSource -v
//
// As with the sink, rates are compared round by round, and the processor time is that of the
// generator's whole process, its start included.
func TestSendAgainstSmtpSource(t *testing.T) {
	kit.Measures(t)
	kit.NeedProgram(t, "smtp-source", "postfix")
	kit.NeedProgram(t, "smtp-sink", "postfix")
	const rounds = 6
	addr := "127.0.0.1:" + kit.StartSmtpSink(t).Port
	for _, conns := range []int{1, 20, 200} {
		messages := 100_000 // so that the start of a process counts little
		if conns == 1 {
			messages /= 5 // it takes five times as long
		}
		theirs := []string{"smtp-source", "-d", "-s", strconv.Itoa(conns), "-m",
			strconv.Itoa(messages), "-l", "4096", addr}
		// smtp-source's 4096 are those of the body; with its header a message has some 4,210.
		ours := []string{kit.Binary(t, ""), "bench", "send", "--connections", strconv.Itoa(conns),
			"--messages", strconv.Itoa(messages), "--size", "4250", addr}
		rate, cpu := inTurn(t, fmt.Sprintf("%3d connections", conns),
			[2]string{"smtp-source", "postroad send"}, rounds, func(which int) speed {
				return generate(t, messages, [][]string{theirs, ours}[which])
			})
		if rate < 0.9 || cpu > 1.05 {
			t.Errorf("%d connections: smtp-source's rate at its CPU is what it was", conns)
		}
	}
}

// generate runs a generator and returns its speed and what its process has used.
func generate(t *testing.T, messages int, args []string) speed {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	start := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
	took := time.Since(start)
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return speed{float64(messages) / took.Seconds(),
		float64(cpu.Microseconds()) / float64(messages)}
}

// benchSend runs `postroad bench send` and returns its result and what it has written down.
func benchSend(t *testing.T, addr string, args ...string) (*load.Result, *record.SentLog) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sent.rec")
	args = append([]string{"bench", "send", "--json", "--record", file, "--timeout", "30s",
		"--retries", "3"}, append(args, addr)...)
	cmd := exec.Command(kit.Binary(t, ""), args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v: %s%s", args, err, &said, &out)
	}
	r := &load.Result{}
	if err := json.Unmarshal(out.Bytes(), r); err != nil {
		t.Fatalf("%v in %s", err, &out)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	log, err := record.ReadSent(f)
	if err != nil {
		t.Fatal(err)
	}
	return r, log
}

// TestSendToForeignServers: smtp-sink and Postfix take what `postroad bench send` sends by each way
// of pipelining; what Postfix relays arrives as it was sent, once.
func TestSendToForeignServers(t *testing.T) {
	kit.Need(t, peers.PostfixAvailable())
	behind, err := sink.Start(sink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { behind.Close() })
	_, port, _ := strings.Cut(behind.Addr(), ":")
	postfix := kit.StartPostfix(t, peers.PostfixOptions{Relayhost: "[127.0.0.1]:" + port})
	smtpSink := "127.0.0.1:" + kit.StartSmtpSink(t).Port
	const messages = 50
	relayed := 0
	for _, way := range [][]string{
		{"--pipelining", "off"}, {"--pipelining", "message", "--recipients", "3"},
		{"--pipelining", "stream"}, {"--fresh"},
		{"--pipelining", "stream", "--bdat"}, {"--pipelining", "message", "--bdat", "--chunk",
			"2KiB"}, {"--varied", "--pipelining", "stream"},
		{"--rate", "200", "--domains", "mix:100"},
	} {
		args := append([]string{"--connections", "4", "--messages", strconv.Itoa(messages),
			"--size", "1KiB:1,20KiB:1"}, way...)
		for _, addr := range []string{smtpSink, postfix.Addr} {
			r, log := benchSend(t, addr, args...)
			if r.Accepted != messages || log.Len() != messages ||
				r.Phases["whole"].Count != messages {
				t.Errorf("%v: %d accepted, %d written down: %+v", args, r.Accepted, log.Len(), r)
			}
			if addr == smtpSink {
				continue
			}
			relayed += messages
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if err := behind.Wait(ctx, relayed); err != nil {
				t.Fatalf("%v: %v", args, err)
			}
			cancel()
			if report := record.Check(log, behind.Records(),
				record.Rules{}); report.Lost.N+report.Changed.N+report.Duplicated.N != 0 ||
				report.Delivered == 0 {
				t.Errorf("%v: %s", args, report)
			}
		}
	}
}
