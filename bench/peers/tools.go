package peers

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/internal/testkit/confine"
)

// ToolsAvailable reports whether Postfix's load generator and receiving server are installed; nil
// when they are.
func ToolsAvailable() error { return available("postfix", "smtp-source", "smtp-sink") }

// SmtpSource has Postfix's generator send messages of one recipient to addr, and waits until all
// are acknowledged. It may be called by several goroutines.
func SmtpSource(ctx context.Context, addr string, conns, messages, size int) error {
	out, err := exec.CommandContext(ctx, "smtp-source", "-d", "-s", strconv.Itoa(conns), "-m",
		strconv.Itoa(messages), "-l", strconv.Itoa(size),
		"-f", "sender@source.test", "-t", "rcpt@sink.test", addr).CombinedOutput()
	if err != nil {
		return fmt.Errorf("smtp-source: %w: %s", err, out)
	}
	return nil
}

// SmtpSink is Postfix's receiving server. Count is how many messages it has taken, which follows
// what it prints.
type SmtpSink struct {
	Count atomic.Int64

	cmd  *exec.Cmd
	done chan struct{}
}

// StartSmtpSink starts one at addr, host:port.
func StartSmtpSink(addr string) (*SmtpSink, error) {
	s := &SmtpSink{cmd: exec.Command("smtp-sink", "-c", "-u", "nobody", addr, "1000"),
		done: make(chan struct{})}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := confine.Start(s.cmd); err != nil {
		return nil, err
	}
	go s.follow(out)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := WaitPort(ctx, addr); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

var sinkCount = regexp.MustCompile(`mesg=\s*(\d+)`)

func (s *SmtpSink) follow(out io.Reader) {
	defer close(s.done)
	buf := make([]byte, 64<<10)
	kept := 0 // the end of what was read before: a number may come in two parts
	for {
		n, err := out.Read(buf[kept:])
		n += kept
		if m := sinkCount.FindAllSubmatch(buf[:n], -1); len(m) > 0 {
			v, _ := strconv.ParseInt(string(m[len(m)-1][1]), 10, 64)
			s.Count.Store(v)
		}
		kept = copy(buf, buf[max(0, n-32):n])
		if err != nil {
			return
		}
	}
}

// Close ends it.
func (s *SmtpSink) Close() {
	s.cmd.Process.Kill()
	<-s.done
	s.cmd.Wait()
}
