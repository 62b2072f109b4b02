package pop3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	sessiontest "github.com/postroad/postroad/internal/testkit/session"
	"github.com/postroad/postroad/mailbox"
)

// large is a message of several pieces, with dots at the beginning of lines and lines of all
// lengths.
func large(octets int) string {
	var b strings.Builder
	b.WriteString("Subject: large\r\n\r\n")
	for i := 0; b.Len() < octets; i++ {
		fmt.Fprintf(&b, ".line %d %s\r\n", i, strings.Repeat("x", i%900))
	}
	return b.String()
}

// TestLarge: a message of many pieces comes octet for octet, in clear and inside TLS.
func TestLarge(t *testing.T) {
	want := large(5 << 20)
	drops := newMemory(want)
	r := newRig(t, drops, func(o *Options) { o.TLS = sessiontest.TLS })
	c := r.login()
	c.Send("RETR 1\r\nTOP 1 100000\r\nNOOP\r\n")
	for range 2 {
		if got := c.text(); got != want {
			t.Errorf("%d octets are not the %d of the message", len(got), len(want))
		}
	}
	c.Expect("+OK")
	c.Say("QUIT", "+OK")
	c.ExpectEnd()

	r.address = r.listen(ListenerOptions{Implicit: true})
	c = r.dial().startTLS()
	c.Expect("+OK")
	c.Say("USER u@local.example", "+OK")
	c.Say("PASS secret", "+OK")
	c.Send("RETR 1\r\n")
	if got := c.text(); got != want {
		t.Errorf("TLS: %d octets are not the %d of the message", len(got), len(want))
	}
	if s := r.srv.Stats(); s.Retrieved != 2 || s.Octets != uint64(2*len(want)) || s.TLS != 1 {
		t.Errorf("%+v", s)
	}
}

// TestRemoval: messages go with QUIT, and with nothing else; the lock is free when QUIT is
// answered.
func TestRemoval(t *testing.T) {
	drops := newMemory("1\r\n", "2\r\n", "3\r\n")
	r := newRig(t, drops, nil)
	c := r.login()
	r.inUse()
	c.Say("DELE 2", "+OK")
	c.Conn.(*net.TCPConn).SetLinger(0) // a reset
	c.Conn.Close()
	sessiontest.Eventually(
		t,
		"the lock of a connection that was reset is kept",
		func() bool { return !drops.locked(fakeUser) },
	)
	if uids := drops.uids(fakeUser); len(uids) != 3 {
		t.Fatalf("a connection without QUIT removed messages: %v are left", uids)
	}
	for range 3 {
		c = r.login()
		c.Say("DELE 1", "+OK")
		c.Say("QUIT", "+OK")
		c.Conn.Close()
	}
	if uids := drops.uids(fakeUser); len(uids) != 0 {
		t.Errorf("%v are left", uids)
	}
	sessiontest.Eventually(
		t,
		"not all sessions have ended",
		func() bool { return r.srv.Stats().Open == 0 },
	)
	if s := r.srv.Stats(); s.Removed != 3 || s.LoggedIn != 0 || r.srv.Budget.Used() != 0 {
		t.Errorf("%+v", s)
	}
}

// inUse logs in where somebody has the mailbox.
func (r *rig) inUse() {
	r.t.Helper()
	c := r.connect()
	defer c.Conn.Close()
	c.Say("USER "+fakeUser, "+OK")
	c.Say("PASS secret", "-ERR [IN-USE]")
}

// TestPipelined: a whole download in one write.
func TestPipelined(t *testing.T) {
	const n = 500
	messages := make([]string, n)
	var commands strings.Builder
	for i := range messages {
		messages[i] = fmt.Sprintf("Subject: %d\r\n\r\n%s\r\n", i, strings.Repeat("y", 7*i))
		fmt.Fprintf(&commands, "RETR %d\r\nDELE %d\r\n", i+1, i+1)
	}
	r := newRig(t, newMemory(messages...), nil)
	c := r.login()
	c.Send(commands.String() + "QUIT\r\n")
	for i, want := range messages {
		if got := c.text(); got != want {
			t.Fatalf("message %d: %q", i+1, got)
		}
		c.Expect("+OK")
	}
	c.Expect("+OK")
	c.ExpectEnd()
	if uids := r.drops.uids(fakeUser); len(uids) != 0 {
		t.Errorf("%d are left", len(uids))
	}
}

// TestAhead: whatever was read ahead, a client gets the messages that it asks for, and the memory
// is given back.
func TestAhead(t *testing.T) {
	const n = 300
	messages := make([]string, n)
	for i := range messages {
		messages[i] = fmt.Sprintf("Subject: %d\r\n\r\n%s\r\n", i, strings.Repeat("y", 11*i))
	}
	r := newRig(t, newMemory(messages...), nil)
	opened := func() int {
		_ = r.drops.enter("")
		defer r.drops.mu.Unlock()
		return r.drops.mu.opens
	}
	c := r.login()
	get := func(i int) {
		t.Helper()
		c.Send(fmt.Sprintf("RETR %d\r\n", i+1))
		if got := c.text(); got != messages[i] {
			t.Fatalf("message %d came as %q", i+1, got)
		}
	}
	for i := range n {
		get(i)
	}
	if opens := opened(); opens != n {
		t.Errorf("%d messages were opened %d times", n, opens)
	}
	if s := r.srv.readers.taken.Load(); s != 0 {
		t.Errorf("%d places are taken when all is read", s)
	}
	for _, i := range []int{3, 4, 5, 9, 10, 2, 3, 4} { // other plans
		get(i)
	}
	c.Say("DELE 7", "+OK")
	r.drops.failing("read", errors.New("a disk is broken"))
	get(5) // is in memory
	c.Say("RETR 7", "-ERR")
	c.Say("RETR 10", "-ERR [SYS/TEMP]")
	r.drops.failing("read", nil)
	get(9)
	get(10)
	c.Say("QUIT", "+OK")
	c.ExpectEnd()
	if s := r.srv.readers.taken.Load(); s != 0 {
		t.Errorf("%d places are taken at the end", s)
	}
}

// TestListing: a listing that does not fit the socket's buffers waits for its reader.
func TestListing(t *testing.T) {
	const n = 300_000
	drops := newMemory()
	list := make([]mailbox.Message, n)
	for i := range list {
		list[i] = mailbox.Message{UID: mailbox.UID(2*i + 1), Size: int64(i)}
	}
	drops.mu.boxes[fakeUser].list = list
	r := newRig(t, drops, nil)
	c := r.login()
	c.Say("STAT", fmt.Sprintf("+OK %d %d", n, n*(n-1)/2))
	c.Send("UIDL\r\nLIST\r\n")
	lines := strings.Split(c.text(), "\r\n")
	if len(lines) != n+1 || lines[n-1] != fmt.Sprintf("%d %08x%08x", n, 0x5eed, 2*n-1) {
		t.Errorf("%d lines, the last %q", len(lines)-1, lines[max(0, len(lines)-2)])
	}
	lines = strings.Split(c.text(), "\r\n")
	if len(lines) != n+1 || lines[n-1] != fmt.Sprintf("%d %d", n, n-1) {
		t.Errorf("%d lines, the last %q", len(lines)-1, lines[max(0, len(lines)-2)])
	}
	c.Say("NOOP", "+OK")
}

// TestSlowReader: of a message that the client does not read no more is read, and its reader is
// told to rest; when the client reads again it gets the rest.
func TestSlowReader(t *testing.T) {
	want := large(20 << 20)
	r := newRig(t, newMemory(want), nil)
	c := r.login()
	c.Conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	c.Send("RETR 1\r\n")
	sessiontest.Eventually(t, "the reader does not rest", func() bool {
		_ = r.drops.enter("")
		defer r.drops.mu.Unlock()
		return r.drops.mu.reads > 1 && r.drops.mu.rests == 1
	})
	if got := c.text(); got != want {
		t.Errorf("%d octets are not the %d of the message", len(got), len(want))
	}
	c.Say("NOOP", "+OK")
	_ = r.drops.enter("")
	defer r.drops.mu.Unlock()
	if r.drops.mu.opened != 0 || r.srv.keeping.taken.Load() != 0 {
		t.Error("the reader stays open")
	}
}

// TestUnreadable: a message that cannot be read is refused; in the middle of it only a reset tells
// the client.
func TestUnreadable(t *testing.T) {
	drops := newMemory(large(10<<20), "small\r\n")
	r := newRig(t, drops, nil)
	c := r.login()
	drops.failing("read", errors.New("a disk is broken"))
	c.Say("RETR 1", "-ERR [SYS/TEMP]")
	drops.failing("open", mailbox.ErrNoMessage)
	c.Say("RETR 2", "-ERR The message was removed")
	drops.failing("open", nil)
	drops.failing("read", nil)
	gate := drops.hold()
	c.Send("RETR 1\r\n")
	gate <- struct{}{}
	c.Expect("+OK")
	drops.failing("read", errors.New("a disk is broken"))
	gate <- struct{}{}
	rest, err := io.ReadAll(c.In)
	if err == nil || len(rest) > pieceSize+1000 {
		t.Errorf("%d octets and %v, want a reset", len(rest), err)
	}
	sessiontest.Eventually(t, "the lock is kept", func() bool { return !drops.locked(fakeUser) })
}

// TestLockLost: the lock is renewed, and a session that has lost it ends.
func TestLockLost(t *testing.T) {
	drops := newMemory("1\r\n")
	r := newRig(t, drops, func(o *Options) { o.Limits.LockFor = 300 * time.Millisecond })
	c := r.login()
	c.Say("DELE 1", "+OK")
	sessiontest.Eventually(t, "the lock is not renewed", func() bool {
		_ = drops.enter("")
		defer drops.mu.Unlock()
		return drops.mu.renews > 2
	})
	drops.failing("renew", mailbox.ErrRefused)
	c.Expect("-ERR [SYS/TEMP]")
	c.ExpectEnd()
	if s := r.srv.Stats(); s.LocksLost != 1 || len(drops.uids(fakeUser)) != 1 {
		t.Errorf("%+v", s)
	}
}

// TestWorkers: more sessions than workers wait for each other, and the loop for none of them.
func TestWorkers(t *testing.T) {
	drops := newMemory("1\r\n")
	for i := range 8 {
		drops.put(fmt.Sprint(i), fmt.Sprintf("%d\r\n", i))
	}
	r := newRig(t, drops, func(o *Options) { o.Calls, o.Reads = 2, 2 })
	var all []*client
	for i := range 8 {
		c := r.connect()
		c.Say(fmt.Sprint("USER ", i), "+OK")
		c.Say("PASS secret", "+OK")
		all = append(all, c)
	}
	gate := drops.hold()
	for _, c := range all {
		c.Send("RETR 1\r\n")
	}
	r.connect().Say("CAPA", "+OK") // the loop goes on
	close(gate)
	for i, c := range all {
		if got := c.text(); got != fmt.Sprintf("%d\r\n", i) {
			t.Errorf("session %d got %q", i, got)
		}
	}
}

// TestStuck: log-ins to a mailbox whose owner cannot be reached hold up nobody else.
func TestStuck(t *testing.T) {
	drops := newMemory("1\r\n")
	drops.stuck = make(chan struct{})
	r := newRig(t, drops, func(o *Options) { o.Calls, o.Reads = 6, 1 })
	var stuck []*client
	for range 5 {
		c := r.connect()
		c.Say("USER stuck", "+OK")
		c.Send("PASS secret\r\n")
		stuck = append(stuck, c)
	}
	c := r.login()
	c.Send("RETR 1\r\n")
	if got := c.text(); got != "1\r\n" {
		t.Errorf("%q", got)
	}
	close(drops.stuck)
	for _, c := range stuck {
		c.Expect("-ERR [SYS/TEMP]")
	}
}

// TestShutdown: what is on its way is finished, the others are told; nothing is deleted.
func TestShutdown(t *testing.T) {
	drops := newMemory("1\r\n")
	drops.put("busy", "2\r\n")
	r := newRig(t, drops, nil)
	idle := r.login()
	idle.Say("DELE 1", "+OK")
	busy := r.connect()
	busy.Say("USER busy", "+OK")
	busy.Say("PASS secret", "+OK")
	gate := drops.hold()
	busy.Send("RETR 1\r\n")
	sessiontest.Eventually(t, "the message is not being read", func() bool {
		_ = drops.enter("")
		defer drops.mu.Unlock()
		return drops.mu.opened == 1
	})
	finished := make(chan error)
	go func() { finished <- r.srv.Shutdown(context.Background()) }()
	idle.Expect("-ERR [SYS/TEMP]")
	idle.ExpectEnd()
	idle.Conn.Close()
	close(gate)
	if got := busy.text(); got != "2\r\n" {
		t.Errorf("%q", got)
	}
	busy.Expect("-ERR [SYS/TEMP]")
	busy.ExpectEnd()
	busy.Conn.Close()
	if err := <-finished; err != nil {
		t.Fatal(err)
	}
	if len(drops.uids(fakeUser)) != 1 || drops.locked(fakeUser) || drops.locked("busy") {
		t.Error("a message is gone, or a lock is held")
	}
}

// TestShutdownDeadline: a client that does not read its message is cut off.
func TestShutdownDeadline(t *testing.T) {
	r := newRig(t, newMemory(large(20<<20)), nil)
	c := r.login()
	c.Conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	c.Send("RETR 1\r\n")
	c.Expect("+OK")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := r.srv.Shutdown(ctx); err != context.DeadlineExceeded {
		t.Fatal(err)
	}
	sessiontest.Eventually(t, "the lock is kept", func() bool { return !r.drops.locked(fakeUser) })
	if _, err := io.ReadAll(c.In); err == nil {
		t.Error("a message that was cut off has an end")
	}
}

// TestSTLS: everything that follows is inside TLS.
func TestSTLS(t *testing.T) {
	r := newRig(t, newMemory("1\r\n"), func(o *Options) { o.TLS = sessiontest.TLS })
	r.address = r.listen(ListenerOptions{})
	c := r.connect()
	c.Say("USER "+fakeUser, "-ERR")
	c.Say("STLS", "+OK")
	c = c.startTLS()
	c.Say("AUTH PLAIN AHVAbG9jYWwuZXhhbXBsZQBzZWNyZXQ=", "+OK")
	c.Send("RETR 1\r\n")
	if got := c.text(); got != "1\r\n" {
		t.Errorf("%q", got)
	}
	c.Say("QUIT", "+OK")
	c.ExpectEnd()
}

// TestIdleMemory: an idle connection that has logged in and read a message holds its two structs,
// its listing, and no buffer.
func TestIdleMemory(t *testing.T) {
	const connections = 500
	drops := newMemory()
	for i := range connections {
		drops.put(fmt.Sprint(i), "Subject: x\r\n\r\ntext\r\n")
	}
	r := newRig(t, drops, func(o *Options) { o.Limits.ConnectionsPerNetwork = connections })
	each := sessiontest.IdleHeap(t, r.address, connections, func(i int) []string {
		return []string{fmt.Sprintf("USER %d\r\n", i), "PASS secret\r\n", "UIDL\r\n", "RETR 1\r\n"}
	}, func() {})
	if each > 4<<10 {
		t.Errorf("an idle connection takes %d octets of heap", each)
	} else {
		t.Logf("an idle connection takes %d octets of heap, the client's side of it included", each)
	}
}
