package kit

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/postroad/postroad/bench/peers"
)

// SmtpSink is Postfix's receiving test server.
type SmtpSink struct {
	*peers.SmtpSink
	Port string
}

// StartSmtpSink starts one; the test is skipped without Postfix's test programs.
func StartSmtpSink(t testing.TB) *SmtpSink {
	t.Helper()
	Need(t, peers.ToolsAvailable())
	addr := FreeAddr(t)
	s, err := peers.StartSmtpSink(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	_, port, _ := strings.Cut(addr, ":")
	return &SmtpSink{s, port}
}

// StartPostfix starts a Postfix that ends with the test.
func StartPostfix(t testing.TB, o peers.PostfixOptions) *peers.Instance {
	t.Helper()
	return StartPeer(t, "postfix", func(dir string) (*peers.Instance, error) {
		o.Dir, o.Listen = dir, FreeAddr(t)
		return peers.Postfix(context.Background(), o)
	})
}

// SmartHost is the configuration that sends everything to one host.
func SmartHost(addr string) string {
	return fmt.Sprintf("[[route]]\ndomain = \"*\"\nsmart_host = %q\n", addr)
}

// LMTPListener is the configuration of a listener for LMTP.
func LMTPListener(addr string) string {
	return fmt.Sprintf("[[listener]]\naddress = %q\nkind = \"lmtp\"\n", addr)
}

// StartDovecot starts a Dovecot that ends with the test.
func StartDovecot(t testing.TB, o peers.DovecotOptions) *peers.Instance {
	t.Helper()
	return StartPeer(t, "dovecot", func(dir string) (*peers.Instance, error) {
		o.Dir = dir
		return peers.Dovecot(context.Background(), o)
	})
}

// StartPeer starts another server, in a folder of its own that every user may enter.
func StartPeer(
	t testing.TB, name string, start func(dir string) (*peers.Instance, error),
) *peers.Instance {
	t.Helper()
	dir, err := os.MkdirTemp(Scratch(t), name+"-")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o755)
	in, err := start(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.Stop(); err != nil {
			t.Errorf("stopping %s: %v", name, err)
		}
		os.RemoveAll(dir)
	})
	return in
}
