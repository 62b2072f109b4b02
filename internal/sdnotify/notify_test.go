package sdnotify

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// listen plays systemd: it returns the socket, which t.Setenv has announced.
func listen(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "")
	t.Setenv("WATCHDOG_PID", "")
	return l
}

// receive returns the next notification.
func receive(t *testing.T, l *net.UnixConn) string {
	t.Helper()
	b := make([]byte, 4096)
	if err := l.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := l.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestNotifications(t *testing.T) {
	for name, path := range map[string]string{
		"file":     filepath.Join(t.TempDir(), "notify"),
		"abstract": "@postroad-sdnotify-" + strconv.Itoa(os.Getpid()),
	} {
		t.Run(name, func(t *testing.T) {
			l := listen(t, path)
			m := FromEnvironment()
			for _, c := range []struct {
				send func() error
				want string
			}{
				{func() error { return m.Ready("relay on 127.0.0.1:25") },
					"READY=1\nSTATUS=relay on 127.0.0.1:25"},
				{m.Reloading, "RELOADING=1"},
				{func() error { return m.Waiting("waits for mx1:7025", time.Minute) },
					"STATUS=waits for mx1:7025\nEXTEND_TIMEOUT_USEC=60000000"},
				{func() error { return m.Status("fatal: disk\nREADY=1") },
					"STATUS=fatal: disk READY=1"},
				{func() error { return m.Stopping("finishing") }, "STOPPING=1\nSTATUS=finishing"},
			} {
				if err := c.send(); err != nil {
					t.Fatal(err)
				}
				if got := receive(t, l); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
			}
		})
	}
}

func TestNobodyIsTold(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	m := FromEnvironment()
	if m != nil {
		t.Fatal("a service manager without a socket")
	}
	if err := errors.Join(m.Ready("x"), m.Reloading(), m.Status("x"), m.Stopping("x")); err != nil {
		t.Error(err)
	}
	// returns at once
	m.Watch(context.Background(), func() error { t.Error("nobody asked"); return nil })
}

func TestManagerIsGone(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	if err := FromEnvironment().Ready("x"); err == nil ||
		!strings.Contains(err.Error(), "notifying systemd") {
		t.Errorf("got %v", err)
	}
}

func TestWatchdogEnvironment(t *testing.T) {
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"30000000", "", 30 * time.Second},
		{"30000000", strconv.Itoa(os.Getpid()), 30 * time.Second},
		{"30000000", "1", 0}, // the parent's
		{"", "", 0},
		{"0", "", 0},
		{"-5", "", 0},
		{"soon", "", 0},
		{"9223372036854775807", "", 0}, // would overflow
	} {
		t.Setenv("WATCHDOG_USEC", c.usec)
		t.Setenv("WATCHDOG_PID", c.pid)
		if got := watchdog(); got != c.want {
			t.Errorf("%q, %q: %v, want %v", c.usec, c.pid, got, c.want)
		}
	}
}

// TestWatch: signs of life come while the service is alive, cease when it is not, and come again.
func TestWatch(t *testing.T) {
	l := listen(t, filepath.Join(t.TempDir(), "notify"))
	t.Setenv("WATCHDOG_USEC", "3000")
	m := FromEnvironment()
	ctx, cancel := context.WithCancel(context.Background())
	var asked atomic.Int32
	sick := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Watch(ctx, func() error {
			switch asked.Add(1) {
			case 3:
				close(sick)
				return errors.New("stuck")
			case 4:
				return errors.New("stuck")
			}
			return nil
		})
	}()
	for range 4 { // two before it was sick, two after
		if got := receive(t, l); got != "WATCHDOG=1" {
			t.Errorf("got %q", got)
		}
	}
	<-sick
	if n := asked.Load(); n < 6 {
		t.Errorf("4 signs of life after %d questions, of which 2 were answered badly", n)
	}
	cancel()
	<-done
}
