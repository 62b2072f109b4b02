package eventloop

import (
	"bytes"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkAccept takes messages of 4 KiB in a dialogue shaped like SMTP's with pipelining: a group
// of commands, the data, one answer each. It reports the processor time of the whole process per
// message and, to be subtracted, that of the clients alone is in BenchmarkClient.
func BenchmarkAccept(b *testing.B) {
	body := append(pattern(4090), "\r\n.\r\n"...)
	h := func(c *Conn) Handler {
		inData := false
		return &fake{c: c, data: func(c *Conn, p []byte) int {
			if !inData {
				if !bytes.HasSuffix(p, []byte("DATA\r\n")) {
					return 0
				}
				c.Write([]byte("250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go\r\n"))
				inData = true
				return len(p)
			}
			if !bytes.HasSuffix(p, []byte("\r\n.\r\n")) {
				return 0
			}
			c.Post(func() { c.Write([]byte("250 2.0.0 Ok: queued\r\n")) })
			inData = false
			return len(p)
		}}
	}
	s := serve(b, Options{tick: 100 * time.Millisecond}, ListenerOptions{New: h}, fake{})
	const clients = 20
	conns := make([]net.Conn, clients)
	for i := range conns {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		conns[i] = c
	}
	work := make(chan struct{}, clients)
	done := make(chan error, clients)
	b.ResetTimer()
	before := processorTime()
	for _, c := range conns {
		go func() { done <- dialogues(c, body, work) }()
	}
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	for range conns {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(processorTime()-before)/float64(b.N)/1e3, "cpu-us/msg")
}

func dialogues(c net.Conn, body []byte, work <-chan struct{}) error {
	commands := []byte("MAIL FROM:<a@client.example>\r\nRCPT TO:<b@server.example>\r\nDATA\r\n")
	p := make([]byte, 256)
	for range work {
		if _, err := c.Write(commands); err != nil {
			return err
		}
		if err := until(c, p, "354 go\r\n"); err != nil {
			return err
		}
		if _, err := c.Write(body); err != nil {
			return err
		}
		if err := until(c, p, "queued\r\n"); err != nil {
			return err
		}
	}
	return nil
}

func until(c net.Conn, p []byte, end string) error {
	for n := 0; ; {
		m, err := c.Read(p[n:])
		if err != nil {
			return err
		}
		if n += m; bytes.HasSuffix(p[:n], []byte(end)) {
			return nil
		}
	}
}

func processorTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkConnect opens and closes connections.
func BenchmarkConnect(b *testing.B) {
	s := serve(b, Options{tick: 100 * time.Millisecond}, ListenerOptions{},
		fake{open: func(c *Conn) { c.Write([]byte("220\r\n")) }})
	p := make([]byte, 16)
	before := processorTime()
	for b.Loop() {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			b.Fatal(err)
		}
		if err := until(c, p, "220\r\n"); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
	b.ReportMetric(float64(processorTime()-before)/float64(b.N)/1e3, "cpu-us/conn")
}

// BenchmarkPost measures a round trip of a function to the loop.
func BenchmarkPost(b *testing.B) {
	conns := make(chan *Conn, 1)
	s := serve(b, Options{}, ListenerOptions{}, fake{open: func(c *Conn) { conns <- c }})
	s.dial(b)
	c := <-conns
	done := make(chan struct{}, 1)
	f := func() { done <- struct{}{} }
	for b.Loop() {
		c.Post(f)
		<-done
	}
}
