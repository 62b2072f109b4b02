package faults

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/postroad/postroad/internal/testkit/confine"
)

// process is one run of the program. It ends with the one who started it.
type process struct {
	cmd  *exec.Cmd
	gone chan struct{} // closed when it has ended
	log  *tail
}

// startProcess runs program; what it writes is appended to logFile, and the newest part of it kept.
func startProcess(program, logFile string, env []string, args ...string) (*process, error) {
	f, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(program, args...), gone: make(chan struct{}), log: newTail(f)}
	p.cmd.Stderr = p.log
	p.cmd.Env = append(append(os.Environ(), "TZ=UTC"), env...)
	if err := confine.Start(p.cmd); err != nil {
		f.Close()
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(program), err)
	}
	go func() {
		_ = p.cmd.Wait() // ProcessState says how it ended
		f.Close()
		close(p.gone)
	}()
	return p, nil
}

func (p *process) running() bool {
	select {
	case <-p.gone:
		return false
	default:
		return true
	}
}

// signal sends a signal. A process that has ended gets none: its number may be another's by now,
// which os.Process prevents.
func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// tailLimit is how much of a process's log is kept for messages.
const tailLimit = 64 << 10

// tail writes a log to a file and keeps its newest part.
type tail struct {
	sync.Mutex
	file *os.File
	buf  []byte
	more chan struct{} // closed and replaced with each write
}

func newTail(f *os.File) *tail { return &tail{file: f, more: make(chan struct{})} }

// await waits until the text is in what is kept; false: done came first.
func (w *tail) await(text string, done <-chan struct{}) bool {
	for {
		w.Lock()
		found, more := bytes.Contains(w.buf, []byte(text)), w.more
		w.Unlock()
		if found {
			return true
		}
		select {
		case <-more:
		case <-done:
			return false
		}
	}
}

func (w *tail) Write(p []byte) (int, error) {
	w.Lock()
	defer w.Unlock()
	close(w.more)
	w.more = make(chan struct{})
	w.buf = append(w.buf, p...)
	if len(w.buf) > 2*tailLimit {
		w.buf = append(w.buf[:0], w.buf[len(w.buf)-tailLimit:]...)
	}
	return w.file.Write(p)
}

// last returns the newest lines, at most n octets.
func (w *tail) last(n int) string {
	w.Lock()
	defer w.Unlock()
	b := w.buf
	if len(b) > n {
		b = b[len(b)-n:]
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			b = b[i+1:]
		}
	}
	return string(b)
}
