package smtpclient

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// The benchmarks measure the client alone: the sink is another process, which is this test binary
// once more.
func TestMain(m *testing.M) {
	if os.Getenv("SMTPCLIENT_TEST_SINK") != "" {
		sink()
		return
	}
	os.Exit(m.Run())
}

// sink takes all mail as fast as it can, until its standard input ends.
func sink() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go sinkOne(nc)
		}
	}()
	io.Copy(io.Discard, os.Stdin)
}

func sinkOne(nc net.Conn) {
	defer nc.Close()
	nc.Write([]byte("220 sink\r\n"))
	buf, fill := make([]byte, 64<<10), 0
	for {
		n, err := nc.Read(buf[fill:])
		if err != nil {
			return
		}
		fill += n
		got := buf[:fill]
		switch {
		case bytes.HasPrefix(got, []byte("EHLO")):
			nc.Write([]byte("250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n"))
		case bytes.HasSuffix(got, []byte("DATA\r\n")):
			nc.Write([]byte("250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 Go ahead\r\n"))
		case bytes.HasSuffix(got, []byte("\r\n.\r\n")):
			nc.Write([]byte("250 2.0.0 Ok: queued as 06ejm2s0a0400008\r\n"))
		case fill < len(buf):
			continue
		}
		if fill = 0; len(got) == len(buf) { // keep what may be half of the end
			fill = copy(buf, got[len(got)-5:])
		}
	}
}

func startSink(b *testing.B) netip.AddrPort {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SMTPCLIENT_TEST_SINK=1")
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return netip.MustParseAddrPort(line[:len(line)-1])
}

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkDeliver sends messages over some connections at once, and reports the CPU time that one
// takes here.
func BenchmarkDeliver(b *testing.B) {
	line := "0123456789012345678901234567890123456789012345678901234567890123456789\r\n"
	dotted := bytes.Repeat([]byte(line), 4096/len(line))
	copy(dotted[len(line)*20:], ".")
	for _, c := range []struct {
		name    string
		content []byte
		conns   int
	}{
		{"4KiB/1conn", bytes.Repeat([]byte(line), 4096/len(line)), 1},
		{"4KiB/20conns", bytes.Repeat([]byte(line), 4096/len(line)), 20},
		{"4KiB-dots/20conns", dotted, 20},
		{"1MiB/4conns", bytes.Repeat([]byte(line), 1<<20/len(line)), 4},
	} {
		b.Run(c.name, func(b *testing.B) { benchDeliver(b, c.content, c.conns) })
	}
}

func benchDeliver(b *testing.B, content []byte, conns int) {
	addr := startSink(b)
	work := make(chan int)
	end := make(chan error, conns)
	for range conns {
		conn, err := Dial(b.Context(), &Options{Addr: addr, Hello: "bench.example", TLS: Off})
		if err != nil {
			b.Fatal(err)
		}
		go func() {
			tx := newTx("a@example.org")
			tx.Content = content
			tx.BeforeEnd = func() error { return nil }
			tx.Results = make([]Status, 1)
			for n := range work {
				for range n {
					if res := conn.Deliver(tx); !res.Recipients[0].OK() {
						end <- fmt.Errorf("%+v", res)
						return
					}
				}
			}
			conn.Abort()
			end <- nil
		}()
	}
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu()
	for left := b.N; left > 0; {
		n := min(left, 50)
		work <- n
		left -= n
	}
	close(work)
	for range conns {
		if err := <-end; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-us/op")
}
