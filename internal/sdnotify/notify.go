// Package sdnotify tells systemd how the service is: sd_notify(3) and sd_watchdog_enabled(3),
// without a library. Where systemd is not the service manager nothing is told, and nothing fails.
package sdnotify

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Manager is the service manager. A nil Manager is none: all its methods do nothing. Safe for use
// by several goroutines.
type Manager struct {
	socket   *net.UnixAddr
	watchdog time.Duration // between two signs of life at the most; 0: none are wanted
}

// FromEnvironment returns the service manager that started this process, or nil.
func FromEnvironment() *Manager {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	// A first octet of '@' is for Linux's abstract sockets, which net spells in the same way.
	return &Manager{socket: &net.UnixAddr{Name: path, Net: "unixgram"}, watchdog: watchdog()}
}

// watchdog reads what WatchdogSec= became. WATCHDOG_PID keeps children, which inherit the
// environment, from answering for us.
func watchdog() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 || usec > int64(24*time.Hour/time.Microsecond) {
		return 0
	}
	return time.Duration(usec) * time.Microsecond
}

// Ready says that the start, or a reload, is complete. status is one line for `systemctl status`.
func (m *Manager) Ready(status string) error { return m.send("READY=1", statusOf(status)) }

// Reloading says that the configuration is read again. Ready follows, whatever becomes of it.
func (m *Manager) Reloading() error { return m.send("RELOADING=1") }

// Stopping says that the service has begun to stop.
func (m *Manager) Stopping(status string) error { return m.send("STOPPING=1", statusOf(status)) }

// Status changes the line of `systemctl status`.
func (m *Manager) Status(status string) error { return m.send(statusOf(status)) }

// Waiting says what a start waits for, and asks for more time for it (EXTEND_TIMEOUT_USEC): it may
// take so long from now.
func (m *Manager) Waiting(status string, more time.Duration) error {
	return m.send(statusOf(status), "EXTEND_TIMEOUT_USEC="+strconv.FormatInt(more.Microseconds(),
		10))
}

// statusOf keeps a status on its line: each line of a notification is an assignment of its own.
func statusOf(s string) string {
	return "STATUS=" + strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
}

// Watch gives signs of life until ctx ends, as often as the service manager asks for, while alive
// returns nil. When it does not, or does not return, the signs fail to come and the service manager
// starts the process again.
func (m *Manager) Watch(ctx context.Context, alive func() error) {
	if m == nil || m.watchdog == 0 {
		return
	}
	// sd_watchdog_enabled(3) recommends half of the time. A third leaves room for one that comes
	// late on a busy machine.
	tick := time.NewTicker(max(m.watchdog/3, time.Millisecond))
	defer tick.Stop()
	for {
		if alive() == nil {
			// An error is no reason to end: the next sign may get through, and without any systemd
			// acts.
			_ = m.send("WATCHDOG=1")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// sendTimeout bounds a notification: systemd that does not read must not stop the mail.
const sendTimeout = time.Second

// send sends one datagram. A socket per notification costs microseconds and survives a restart of
// systemd.
func (m *Manager) send(lines ...string) error {
	if m == nil {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, m.socket)
	if err != nil {
		return fmt.Errorf("notifying systemd: %w", err)
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return fmt.Errorf("notifying systemd: %w", err)
	}
	if _, err := conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("notifying systemd: %w", err)
	}
	return nil
}
