package session

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// DialFrom is Dial from one of the loopback's addresses, such as 127.1.2.3.
func DialFrom(t testing.TB, source, address string) *Client {
	t.Helper()
	conn, err := dialFrom(source, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return newClient(t, conn)
}

func dialFrom(source, address string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: Patience}
	return d.Dial("tcp", address)
}

// Greeted connects from an address, again and again when it is turned away, until it is greeted
// with want. handshake: there is one before the greeting. It returns how long that took.
func Greeted(t testing.TB, source, address, want string, handshake bool) time.Duration {
	t.Helper()
	began := time.Now()
	var err error
	for time.Since(began) < Patience {
		if err = greeted(source, address, want, handshake); err == nil {
			return time.Since(began)
		}
		time.Sleep(20 * time.Millisecond) // as clients do
	}
	t.Fatalf("%s was not served at %s within %v: %v", source, address, Patience, err)
	return 0
}

func greeted(source, address, want string, handshake bool) error {
	conn, err := dialFrom(source, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(Patience))
	if handshake {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if string(got) != want {
		return errors.New(string(got))
	}
	return nil
}

// ClientHello is the first flight of a client, after which a stalled one says no more.
var ClientHello = sync.OnceValue(func() []byte {
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() { _ = tls.Client(theirs, &tls.Config{InsecureSkipVerify: true}).Handshake() }()
	p := make([]byte, 4096)
	n, _ := ours.Read(p)
	return p[:n]
})

// Networks returns n addresses of the loopback in as many networks of 24 bits.
func Networks(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("127.%d.%d.1", 10+i/250, i%250)
	}
	return list
}

// Flood connects to addresses from all sources in turn, sends first, and says no more, until the
// test ends: at once as many connections as count, and then rate a second. Those that are closed do
// not matter.
func Flood(t testing.TB, sources, addresses []string, first []byte, count, rate int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	var open struct {
		sync.Mutex
		conns []net.Conn
	}
	t.Cleanup(func() {
		cancel()
		all.Wait()
		for _, c := range open.conns {
			c.Close()
		}
	})
	connect := func(i int) {
		conn, err := dialFrom(sources[i%len(sources)], addresses[i%len(addresses)])
		if err != nil {
			return // it is what the server is up against that counts
		}
		_, _ = conn.Write(first)
		open.Lock()
		defer open.Unlock()
		open.conns = append(open.conns, conn)
	}
	for i := range count {
		connect(i)
	}
	if rate == 0 {
		return
	}
	all.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for i := count; ; i++ {
			select {
			case <-tick.C:
				connect(i)
			case <-ctx.Done():
				return
			}
		}
	})
}
