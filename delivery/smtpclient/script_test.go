package smtpclient

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A script is what a scripted server does, line by line:
//
//	S: TEXT      sends the line (with the S lines before it, in one segment)
//	S> "TEXT"    sends the octets of a Go string
//	C: TEXT      wants exactly this line; "C: TEXT*" wants this beginning
//	data         reads up to the end of mail data and keeps it, with its end
//	bdat N       reads N octets and keeps them
//	tls          does a handshake as the server
//	drip D TEXT  sends one octet of TEXT each D, over and over, until the client goes
//	flood TEXT   sends TEXT over and over until the client goes
//	wait D       waits (under virtual time)
//	hang         says nothing more, and reads, until the client goes
//	stall        neither says nor reads anything until the test ends
//	close, reset closes the connection (reset: with RST)
//
// At its end it closes.
type peer struct {
	t    testing.TB
	nc   net.Conn
	r    *bufio.Reader
	out  []byte
	kept []string
	over chan struct{} // closed when the test ends
}

func (p *peer) run(script string) {
	defer func() { p.flush(); p.nc.Close() }()
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		verb, rest, _ := strings.Cut(line, " ")
		if verb != "S:" && verb != "S>" {
			p.flush()
		}
		if !p.step(verb, rest) {
			return
		}
	}
}

func (p *peer) flush() {
	p.nc.Write(p.out)
	p.out = nil
}

func (p *peer) step(verb, rest string) bool {
	switch verb {
	case "S:":
		p.out = append(p.out, rest+"\r\n"...)
	case "S>":
		s, err := strconv.Unquote(rest)
		if err != nil {
			p.t.Errorf("script: %s: %v", rest, err)
		}
		p.out = append(p.out, s...)
	case "C:":
		return p.want(rest)
	case "data":
		return p.data()
	case "bdat":
		n, _ := strconv.Atoi(rest)
		b := make([]byte, n)
		_, err := io.ReadFull(p.r, b)
		p.kept = append(p.kept, string(b))
		return err == nil
	case "tls":
		tc := tls.Server(p.nc, serverTLS())
		if err := tc.Handshake(); err != nil {
			return false
		}
		p.nc, p.r = tc, bufio.NewReader(tc)
	case "drip":
		return p.drip(rest)
	case "flood":
		for b := bytes.Repeat([]byte(rest+"\r\n"), 100); ; {
			if _, err := p.nc.Write(b); err != nil {
				return false
			}
		}
	case "wait":
		return p.wait(rest)
	case "hang":
		io.Copy(io.Discard, p.r)
		return false
	case "stall":
		<-p.over
		return false
	case "close":
		return false
	case "reset":
		p.nc.(*net.TCPConn).SetLinger(0)
		return false
	default:
		p.t.Errorf("script: no such verb: %s", verb)
	}
	return true
}

func (p *peer) want(want string) bool {
	got, err := p.r.ReadString('\n')
	if err != nil {
		p.t.Errorf("server: wanted %q, got %q and %v", want, got, err)
		return false
	}
	got, ok := strings.CutSuffix(got, "\r\n")
	prefix, any := strings.CutSuffix(want, "*")
	if !ok || any && !strings.HasPrefix(got, prefix) || !any && got != want {
		p.t.Errorf("server: wanted %q, got %q", want, got)
		return false
	}
	return true
}

func (p *peer) data() bool {
	var b []byte
	for !bytes.HasSuffix(b, []byte("\r\n.\r\n")) && string(b) != ".\r\n" {
		line, err := p.r.ReadBytes('\n')
		b = append(b, line...)
		if err != nil {
			p.kept = append(p.kept, string(b))
			return false
		}
	}
	p.kept = append(p.kept, string(b))
	return true
}

func (p *peer) wait(rest string) bool {
	d, err := time.ParseDuration(rest)
	if err != nil {
		p.t.Errorf("script: %v", err)
	}
	select {
	case <-time.After(d):
		return true
	case <-p.over:
		return false
	}
}

func (p *peer) drip(rest string) bool {
	every, text, _ := strings.Cut(rest, " ")
	d, err := time.ParseDuration(every)
	if err != nil {
		p.t.Errorf("script: %v", err)
	}
	tick := time.NewTicker(d)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-tick.C:
		case <-p.over:
			return false
		}
		if _, err := p.nc.Write([]byte{text[i%len(text)]}); err != nil {
			return false
		}
	}
}

// serve runs the scripts, one a connection, on loopback.
func serve(t testing.TB, scripts ...string) (o *Options, kept func() []string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o = &Options{Addr: l.Addr().(*net.TCPAddr).AddrPort(), Hello: "client.example",
		ServerName: "mx.example", TLS: Off}
	var mu sync.Mutex
	var all []string
	var now net.Conn
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for _, s := range scripts {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			now = nc
			mu.Unlock()
			p := &peer{t: t, nc: nc, r: bufio.NewReader(nc), over: over}
			p.run(s)
			mu.Lock()
			all = append(all, p.kept...)
			mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		close(over)
		l.Close()
		mu.Lock()
		if now != nil { // a failed test may have left it open
			now.Close()
		}
		mu.Unlock()
		<-done
	})
	return o, func() []string { <-done; mu.Lock(); defer mu.Unlock(); return all }
}

// servePipe runs a script over net.Pipe, which knows virtual time.
func servePipe(t testing.TB, script string) (o *Options, end func()) {
	over, done := make(chan struct{}), make(chan struct{})
	ours, theirs := net.Pipe()
	o = &Options{Addr: netip.MustParseAddrPort("203.0.113.1:25"), Hello: "client.example",
		ServerName: "mx.example", TLS: Off}
	o.Dial = func(context.Context, netip.AddrPort) (net.Conn, error) {
		go func() {
			defer close(done)
			p := &peer{t: t, nc: theirs, r: bufio.NewReader(theirs), over: over}
			p.run(script)
		}()
		return ours, nil
	}
	return o, func() { close(over); theirs.Close(); <-done }
}

var serverTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mx.example"},
		NotBefore: time.Unix(0, 0),
		NotAfter:  time.Now().Add(1000 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der},
		PrivateKey: key}}}
})

// trusting is a client configuration that knows the test server's certificate.
func trusting(t testing.TB) *tls.Config {
	cert, err := x509.ParseCertificate(serverTLS().Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{RootCAs: pool}
}
