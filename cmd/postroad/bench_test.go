package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postroad/postroad/bench/load"
	"github.com/postroad/postroad/bench/record"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

func TestBenchSendUsage(t *testing.T) {
	for _, c := range []struct {
		args, says string
		status     int
	}{
		{"", "the server's address is needed", 64},
		{"127.0.0.1:2525 127.0.0.1:2526", "the server's address is needed", 64},
		{"127.0.0.1", "HOST:PORT it should be", 64},
		{"127.0.0.1:2525", "how much is to be sent?", 64},
		{"--messages 1 192.0.2.1:25", "add --yes-really", 64},
		{"--messages 1 --size 4XB 127.0.0.1:2525", "--size", 64},
		{"--messages 1 --pipelining all 127.0.0.1:2525", "off, message or stream", 64},
		{"--messages 1 --tls maybe 127.0.0.1:2525", "off, starttls or implicit", 64},
		{"--messages 1 --rate fast 127.0.0.1:2525", "--rate", 64},
		{"--messages 1 --rate 0 127.0.0.1:2525", "a number over 0", 64},
		{"--messages 1 --body /does/not/exist 127.0.0.1:2525", "no such file", 64},
		{"--messages 1 --auth-user joe 127.0.0.1:2525", "--password-file", 64},
		{"--messages 1 --source here 127.0.0.1:2525", "is no address", 64},
		{"--messages 1 --connections 0 --recipients -1 127.0.0.1:2525", "recipients: 1 to 10,000",
			64},
		{"--messages 1 --reconnects -1 --timeout 1s --for 10ms 127.0.0.1:1", "", 69},
		{"--messages 1 --reconnects 1 127.0.0.1:1", "", 69},
	} {
		t.Setenv("GOMAXPROCS", "2") // the command leaves it alone
		status, out,
			errs := postroad(t, "", append([]string{"bench", "send"}, strings.Fields(c.args)...)...)
		if status != c.status || !strings.Contains(out+errs, c.says) {
			t.Errorf("%s: exit status %d\n%s%s", c.args, status, out, errs)
		}
	}
}

func TestBenchSend(t *testing.T) {
	t.Setenv("GOMAXPROCS", "2")
	sink, err := mailtest.StartSink(
		mailtest.SinkOptions{Hook: func(s *mailtest.Step) (a mailtest.Action) {
			if s.At == mailtest.AtRcpt && strings.HasSuffix(s.Recipient, "@gone.example") {
				a.Reply = "550 5.1.1 nobody of that name, try 4711"
			}
			return a
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Close() })
	file := filepath.Join(t.TempDir(), "sent.rec")
	send := func(args ...string) (int, *load.Result, string) {
		t.Helper()
		status, out,
			errs := postroad(t, "", append(append([]string{"bench", "send", "--json"}, args...),
			sink.Addr())...)
		r := &load.Result{}
		if err := json.Unmarshal([]byte(out), r); err != nil {
			t.Fatalf("%v in %s%s", err, out, errs)
		}
		return status, r, errs
	}
	status, r, errs := send("--messages", "30", "--connections", "3", "--record", file,
		"--pipelining", "stream")
	whole := r.Phases["whole"]
	if status != 0 || r.Accepted != 30 || sink.Accepted() != 30 || whole.Count != 30 ||
		whole.Histogram().TotalCount() != 30 || whole.Max < whole.P50 {
		t.Errorf("exit status %d, %+v\n%s", status, r, errs)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	log, err := record.ReadSent(f)
	if err != nil || log.Len() != 30 {
		t.Errorf("%v, %v", log, err)
	}
	for s := range log.All() {
		if s.Sum == (record.Sum{}) || s.Recipients[0].Outcome != record.Accepted || s.Size != 4096 {
			t.Errorf("%+v", s)
			break
		}
	}
	status, r, _ = send("--messages", "5", "--domain", "gone.example")
	if status != 70 || r.RefusedForGood != 5 || len(r.Refusals) != 1 || r.Refusals[0].Count != 5 ||
		r.Refusals[0].Text != "550 #.#.# nobody of that name, try #" {
		t.Errorf("exit status %d, %+v", status, r)
	}
	status, out, errs := postroad(t, "", "bench", "send", "--messages", "5", "--rate", "1000/s",
		sink.Addr())
	if status != 0 || !strings.Contains(out, "5 messages accepted") ||
		!strings.Contains(out, "whole") {
		t.Errorf("exit status %d\n%s%s", status, out, errs)
	}
}

// TestBenchCheckWhileTheSinkRuns: a record that is still being written is read as far as it goes.
// Missing mail is awaited and not lost, and the exit status says that all of it was looked at only
// when nothing is awaited.
func TestBenchCheckWhileTheSinkRuns(t *testing.T) {
	dir := t.TempDir()
	sentFile, sinkFile := filepath.Join(dir, "sent.rec"), filepath.Join(dir, "sink.rec")
	sent, received := record.NewSentLog(), record.NewReceivedLog()
	out, err := record.Create(sinkFile)
	if err != nil {
		t.Fatal(err)
	}
	in, err := record.Create(sentFile)
	if err != nil {
		t.Fatal(err)
	}
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	must(sent.Stream(in), received.Stream(out))
	for _, id := range []string{"a", "b"} {
		must(sent.Add(&record.Sent{ID: id, Sender: "s@x.example", Recipients: []record.Recipient{
			{Address: "r@y.example", Outcome: record.Accepted, Code: 250}}}))
	}
	must(sent.Finish(), in.Close())
	arrives := func(id string) {
		t.Helper()
		must(received.Add(&record.Received{ID: id, Sender: "s@x.example",
			Recipients: []string{"r@y.example"}}), received.Flush())
	}
	check := func(status int, says ...string) {
		t.Helper()
		got, stdout, stderr := postroad(t, "", "bench", "check", sentFile, sinkFile)
		for _, one := range says {
			if got != status || !strings.Contains(stdout+stderr, one) {
				t.Errorf("exit status %d, want %d; %q is to be in\n%s%s", got, status, one, stdout,
					stderr)
			}
		}
		if strings.Contains(stdout, "1 lost") != (status == 70) {
			t.Errorf("exit status %d:\n%s", got, stdout)
		}
	}
	check(75, "sink.rec: its writer is still at it; 0 entries were read",
		"2 recipients are awaited")
	arrives("a")
	check(75, "its writer is still at it; 1 entries were read", "awaited: b to=<r@y.example>",
		"1 delivered, 0 lost")
	arrives("b")
	check(0, "still at it", "2 delivered, 0 lost")
	must(received.Finish(), out.Close())

	// killed before the second came: now it is lost
	received = record.NewReceivedLog()
	if out, err = record.Create(sinkFile); err != nil {
		t.Fatal(err)
	}
	must(received.Stream(out))
	arrives("a")
	must(out.Close())
	check(70, "its writer was killed", "lost: b to=<r@y.example>")
}

// TestBenchRunShortIsNotStrict: figures of a moment cannot be asked for a verdict.
func TestBenchRunShortIsNotStrict(t *testing.T) {
	status, _, errs := postroad(t, "", "bench", "run", "relay", "--short", "--strict")
	if status != 64 || !strings.Contains(errs, "--strict judges figures") {
		t.Errorf("exit status %d: %s", status, errs)
	}
}
