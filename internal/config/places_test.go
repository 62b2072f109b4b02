package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNamesCountFromTheFile: the names of files in a configuration mean the same wherever a command
// is run.
func TestNamesCountFromTheFile(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(t.TempDir())
	file := filepath.Join(dir, "postroad.toml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`
[node]
data_dir = "data"
[tls]
certificate = "tls.crt"
key = "/keys/tls.key"
[ldap]
url = "ldap://127.0.0.1"
base = "dc=example"
ca_file = "ca.pem"
password_file = "sub/ldap"
[[route]]
smart_host = "/run/lmtp"
username = "u"
password_file = "../route"
[admin]
token_file = "token"
[events]
file = "events.jsonl"
[cluster]
token_file = "./join"
`)
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		c.Node.DataDir: "data", c.TLS.Certificate: "tls.crt", c.LDAP.CAFile: "ca.pem",
		c.LDAP.PasswordFile: "sub/ldap", c.Routes[0].PasswordFile: "../route",
		c.Admin.TokenFile: "token", c.Cluster.TokenFile: "join",
		c.EventsPath(): "data/events.jsonl", c.SocketPath(): "data/admin.sock",
	} {
		if got != filepath.Join(dir, want) {
			t.Errorf("%s, want it in %s: %s", got, dir, want)
		}
	}
	if c.TLS.Key != "/keys/tls.key" || c.Routes[0].SmartHost != "/run/lmtp" {
		t.Errorf("whole names were changed: %s %s", c.TLS.Key, c.Routes[0].SmartHost)
	}
	write("[node]\nname = \"a\"\n")
	if c, err = Load(file); err != nil || c.Node.DataDir != filepath.Join(dir, "postroad-data") {
		t.Errorf("the default of a file's data directory: %s, %v", c.Node.DataDir, err)
	}
	if c, err = Load(""); err != nil || c.Node.DataDir != "./postroad-data" {
		t.Errorf("that of the embedded default: %s, %v", c.Node.DataDir, err)
	}
}

// TestPushedNamesCountFromTheFile: of what was pushed, a name is one beside each node's own file.
func TestPushedNamesCountFromTheFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "postroad.toml")
	if err := os.WriteFile(file, []byte("[node]\ndata_dir = \"data\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := ParseShared("p", 1, "[[route]]\nsmart_host = \"a.example\"\nusername = \"u\"\n"+
		"password_file = \"secret\"\n")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first leaves what was pushed as it is
		c, err := LoadWith(file, s)
		if err != nil || c.Routes[0].PasswordFile != filepath.Join(dir, "secret") {
			t.Errorf("%v, %v", c.Routes, err)
		}
	}
}

// TestFormerDataDirIsNoticed: a node does not begin anew where its data lie elsewhere.
func TestFormerDataDirIsNoticed(t *testing.T) {
	dir, here := t.TempDir(), t.TempDir()
	t.Chdir(here)
	file := filepath.Join(dir, "postroad.toml")
	if err := os.WriteFile(file, []byte("[node]\ndata_dir = \"data\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func() error {
		c, err := Load(file)
		if err != nil {
			t.Fatal(err)
		}
		return c.CheckFiles(file)
	}
	if err := check(); err != nil {
		t.Errorf("neither is there: %v", err)
	}
	if err := os.Mkdir(filepath.Join(here, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := check(); err == nil || !strings.Contains(err.Error(), "node.data_dir: is "+
		filepath.Join(dir, "data")+", which is not there, and "+filepath.Join(here, "data")+" is") {
		t.Errorf("the former one is there: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := check(); err != nil {
		t.Errorf("both are there: %v", err)
	}
}

func TestUsual(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "postroad.toml")
	if got := Usual(file); got != "" {
		t.Errorf("not there: %q", got)
	}
	if got := Usual(filepath.Join(file, "below", "nothing")); got != "" {
		t.Errorf("in no folder: %q", got)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Usual(file); got != file {
		t.Errorf("there: %q", got)
	}
	if got := Usual(filepath.Join(file, "x")); got != "" {
		t.Errorf("below a file: %q", got)
	}
}

func TestWarnings(t *testing.T) {
	for network, bad := range map[string]bool{
		"0.0.0.0/0": true, "::/0": true, "128.0.0.0/1": true, "2000::/3": true, "10.0.0.0/8": false,
		"127.0.0.0/8": false, "::1": false, "fc00::/7": false, "fe80::/10": false,
		"2001:db8::/32": false,
	} {
		c, err := Parse("f", []byte("[relay]\nnetworks = [\"192.0.2.1\", \""+network+"\"]\n"))
		if err != nil {
			t.Fatalf("%s: it is only a warning: %v", network, err)
		}
		w := c.Warnings("f")
		if len(w) > 0 != bad || bad && !strings.HasPrefix(w.Error(),
			"f:2:26: relay.networks[1]: "+network+" may relay without a password") {
			t.Errorf("%s: %v", network, w)
		}
	}
}

func TestSocketGroup(t *testing.T) {
	for text, want := range map[string]int{"": -1, "0": 0, "root": 0, "no such group": -1} {
		c, err := Parse("f", []byte("[admin]\nsocket_group = \""+text+"\"\n"))
		if err != nil {
			t.Fatal(err)
		}
		gid, err := c.SocketGroup()
		got := -1
		if gid != nil {
			got = *gid
		}
		if got != want || (err != nil) != (text == "no such group") {
			t.Errorf("%q: %d, %v", text, got, err)
		}
		if err != nil && !strings.Contains(c.CheckFiles("f").Error(),
			`f:2:1: admin.socket_group: there is no group "no such group" on this machine`) {
			t.Errorf("%v", c.CheckFiles("f"))
		}
	}
}
