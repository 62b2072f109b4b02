package node

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/postroad/postroad/directory"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// pairOf writes a certificate for a host into files, and returns the keys that name them.
func (r *reloader) pairOf(dir, host string) string {
	r.t.Helper()
	made, err := mailtest.NewCertificate(host)
	r.ok(err)
	cert, key := filepath.Join(dir, host+".cert"), filepath.Join(dir, host+".key")
	r.ok(os.WriteFile(cert, made.Cert, 0o600))
	r.ok(os.WriteFile(key, made.Key, 0o600))
	return fmt.Sprintf("certificate = %q\nkey = %q\n", cert, key)
}

// shownBy is the name in the certificate that listener i shows a client, after line where TLS does
// not come first; "": the handshake fails.
func (r *reloader) shownBy(i int, line, reply string, client *tls.Config) string {
	r.t.Helper()
	raw, err := net.Dial("tcp", r.addrs[i])
	r.ok(err)
	defer raw.Close()
	if line != "" {
		c, err := talk(r.addrs[i], "")
		r.ok(err)
		defer c.Close()
		if !c.isPOP3 {
			_, err = c.say("EHLO a", "250")
			r.ok(err)
		}
		_, err = c.say(line, reply)
		r.ok(err)
		raw = c.raw
	}
	client.InsecureSkipVerify = true
	inner := tls.Client(raw, client)
	if inner.Handshake() != nil {
		return ""
	}
	return inner.ConnectionState().PeerCertificates[0].DNSNames[0]
}

// TestCertificatesByName: each way into TLS shows the certificate of the name that the client says,
// as of the last reload.
func TestCertificatesByName(t *testing.T) {
	r := startReloader(t, 4)
	dir := t.TempDir()
	base := "[tls]\n" + r.pairOf(dir, "mx.example")
	more := "[[certificate]]\n" + r.pairOf(dir, "*.mail.example") +
		"[[certificate]]\nnames = [\"grün.example\"]\n" + r.pairOf(dir, "given.example")
	listeners := []string{"0 relay", "1 submissions", "2 pop3s", "3 pop3\ntls_min = \"1.0\""}
	expect := func(want map[string]string) {
		t.Helper()
		for name, host := range want {
			for i, line := range [][2]string{{"STARTTLS", "220"}, {}, {}, {"STLS", "+OK"}} {
				client := &tls.Config{ServerName: name}
				if got := r.shownBy(i, line[0], line[1], client); got != host {
					t.Errorf("listener %d shows %q to %q, want %s", i, got, name, host)
				}
			}
		}
	}
	r.must(base+more, listeners...)
	expect(map[string]string{"": "mx.example", "x.mail.example": "*.mail.example",
		"xn--grn-ioa.example": "given.example", "other.example": "mx.example"})
	for i, line := range [][2]string{{"STARTTLS", "220"}, {}, {}, {"STLS", "+OK"}} {
		client := &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}
		if got := r.shownBy(i, line[0], line[1], client); (got != "") != (i == 3) {
			t.Errorf("listener %d with TLS 1.0: %q", i, got)
		}
	}
	if done := r.reload(base+"[[certificate]]\ncertificate = \"none\"\nkey = \"none\"\n",
		listeners...); done.err == nil {
		t.Error("a certificate that is not there was taken")
	}
	expect(map[string]string{"x.mail.example": "*.mail.example"})
	r.must(base, listeners...)
	expect(map[string]string{"x.mail.example": "mx.example"})
}

// TestLoginDomain: a listener has a domain for names without one, and aliases log in where the
// configuration lets them.
func TestLoginDomain(t *testing.T) {
	r := startReloader(t, 2)
	r.ok(r.n.editor.Add(r.ctx, "alice@example.net", "pw", directory.Settings{}))
	r.ok(r.n.editor.AddDomain(r.ctx, "old.example", ""))
	r.ok(r.n.editor.AddAlias(r.ctx, "@old.example", []string{"@example.net"}, ""))
	listeners := []string{"0 pop3\nauth_without_tls = true\nlogin_domain = \"example.net\"",
		"1 pop3\nauth_without_tls = true\n"}
	expect := func(i int, user, want string) {
		t.Helper()
		c, err := talk(r.addrs[i], "+OK")
		r.ok(err)
		defer c.Close()
		if _, err := c.say("USER "+user, "+OK", "PASS pw", want); err != nil {
			t.Errorf("listener %d, %s: %v", i, user, err)
		}
	}
	r.must("", listeners...)
	expect(0, "Alice", "+OK")
	expect(0, "alice@example.net", "+OK")
	expect(1, "alice", "-ERR [AUTH]")
	expect(1, "alice@old.example", "-ERR [AUTH]")
	r.must("[policy]\nalias_login = true\n", listeners...)
	expect(1, "alice@old.example", "+OK")
	expect(0, "bob", "-ERR [AUTH]")
}
