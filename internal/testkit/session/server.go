package session

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/eventloop"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// Engine starts an event loop engine, which logs to the test and ends with it.
func Engine(t testing.TB, o eventloop.Options) *eventloop.Engine {
	t.Helper()
	o.Logf = t.Logf
	engine, err := eventloop.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // what is still open is aborted
		engine.Shutdown(ctx)
	})
	return engine
}

// Listen has serve take a listener on a port of its own, and returns its address.
func Listen(t testing.TB, serve func(net.Listener) error) (address string) {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := serve(socket); err != nil {
		t.Fatal(err)
	}
	return socket.Addr().String()
}

// TLS is a server's configuration with a certificate of its own.
var TLS = sync.OnceValue(func() *tls.Config {
	certificate, err := mailtest.SelfSigned("server.test")
	if err != nil {
		panic(err)
	}
	config, err := certificate.Server()
	if err != nil {
		panic(err)
	}
	return config
})

// Eventually waits for what other goroutines bring about; what says how it is until then.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(Patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("after %v: %s", Patience, what)
		}
	}
}

// Abuse reads a file of testdata/abuse, which has what has broken other servers, with its sources.
func Abuse[T any](t *testing.T, file string) (v T) {
	t.Helper()
	raw, err := os.ReadFile("testdata/abuse/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// AbuseCases runs one test for each case of cases.json, by name.
func AbuseCases(t *testing.T, tests map[string]func(*testing.T)) {
	cases := Abuse[[]struct{ Case, Expect string }](t, "cases.json")
	if len(cases) != len(tests) {
		t.Errorf("%d cases and %d tests", len(cases), len(tests))
	}
	for _, c := range cases {
		test := tests[c.Case]
		if test == nil {
			t.Errorf("no test for %q: %s", c.Case, c.Expect)
			continue
		}
		t.Run(c.Case, test)
	}
}

// IdleHeap returns how many octets of heap a connection takes that is idle, the client's side of it
// included. Each of so many has read the greeting, and said its lines, each when something had come
// of the one before. before runs ahead of the last measurement.
func IdleHeap(
	t *testing.T, address string, connections int, lines func(i int) []string, before func(),
) (each int64) {
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // sync.Pools are emptied by the second
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	start := heap()
	conns := make([]net.Conn, connections)
	for i := range conns {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(Patience))
		for _, line := range append([]string{""}, lines(i)...) {
			io.WriteString(conn, line)
			if _, err := conn.Read(make([]byte, 512)); err != nil {
				t.Fatal(err)
			}
		}
		conns[i] = conn
	}
	before()
	each = (heap() - start) / int64(connections)
	runtime.KeepAlive(conns)
	return each
}
