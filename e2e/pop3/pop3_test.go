package pop3

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// TestPOP3Clients has other people's clients read a mailbox of varied messages, one of 40 MiB among
// them: each octet for octet.
func TestPOP3Clients(t *testing.T) {
	for program, pkg := range map[string]string{"python3": "python3", "curl": "curl",
		"fetchmail": "fetchmail", "mpop": "mpop"} {
		kit.NeedProgram(t, program, pkg)
	}
	gen := &mailtest.Generator{Seed: 14, Run: "pop3", Domains: []string{"postroad.test"},
		MaxSize: 300 << 10}
	var messages [][]byte
	want := map[mailtest.Sum]string{}
	add := func(content []byte) {
		sum, id := mailtest.SumOf(content)
		want[sum] = id
		messages = append(messages, content)
	}
	for i := range 120 {
		add(gen.Message(i).Content)
	}
	// the end of pieces among them
	dots := mailtest.Marker + ": dots\r\nSubject: dots\r\n\r\n.\r\n..\r\n...\r\n.text\r\n" +
		strings.Repeat(".\r\n", 50_000)
	add([]byte(dots))
	add(fmt.Appendf(nil, "%s: large\r\nSubject: large\r\n\r\n%s", mailtest.Marker,
		strings.Repeat(strings.Repeat("0123456789", 7)+"\r\n", 40<<20/72)))
	add(fmt.Appendf(nil, "%s: wide\r\nSubject: a header of 10 MB\r\nTo: %s\r\n\r\ntext\r\n",
		mailtest.Marker, strings.Repeat("someone@somewhere.example,\r\n\t", 10<<20/30)+
			"end@somewhere.example"))
	n := kit.NewPopNode(t, kit.NodeOptions{})
	n.Start()
	dir := t.TempDir()
	kit.WriteMaildir(t, filepath.Join(dir, "in"), messages)
	n.AddMailbox(kit.Alice, filepath.Join(dir, "in"))
	for name, read := range map[string]func(t *testing.T, n *kit.PopNode, dir string, count int){
		"poplib STLS": func(t *testing.T, n *kit.PopNode, dir string, _ int) {
			poplib(t, n, dir, "stls", kit.PortOf(t, n.POP3))
		},
		"poplib TLS": func(t *testing.T, n *kit.PopNode, dir string, _ int) {
			poplib(t, n, dir, "tls", kit.PortOf(t, n.POP3S))
		},
		"curl":      curlPOP3,
		"fetchmail": fetchmail,
		"mpop pipelined": func(t *testing.T, n *kit.PopNode, dir string, _ int) {
			mpop(t, n, dir, "on", "scram-sha-256")
		},
		"mpop": func(t *testing.T, n *kit.PopNode, dir string, _ int) {
			mpop(t, n, dir, "off", "plain")
		},
	} {
		t.Run(name, func(t *testing.T) {
			out := t.TempDir()
			read(t, n, out, len(messages))
			compareMessages(t, out, want)
		})
	}
	s := kit.LoginPOP3(t, n.POP3, kit.Alice, kit.PopPassword)
	if got := s.Say("STAT"); !strings.HasPrefix(got, fmt.Sprintf("+OK %d ", len(messages))) {
		t.Errorf("the clients were to keep all of %d messages: %s", len(messages), got)
	}
}

// compareMessages looks whether the files below dir are the wanted messages, each once, whatever a
// client wrote above the Marker, with LF or CRLF.
func compareMessages(t *testing.T, dir string, want map[mailtest.Sum]string) {
	t.Helper()
	seen := map[mailtest.Sum]int{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		b, err := os.ReadFile(path)
		if !bytes.Contains(b[:min(len(b), 1000)], []byte("\r\n")) {
			b = bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
		}
		sum, id := mailtest.SumOf(b)
		if want[sum] == "" {
			t.Errorf("%s (%d octets, %q) is no message that was there", path, len(b), id)
		}
		seen[sum]++
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for sum, id := range want {
		if seen[sum] != 1 {
			t.Errorf("message %q came %d times", id, seen[sum])
		}
	}
}

const poplibClient = `
import poplib, ssl, sys
poplib._MAXLINE = 1 << 20
how, port, user, password, out = sys.argv[1:]
context = ssl._create_unverified_context()
if how == 'tls':
    p = poplib.POP3_SSL('127.0.0.1', int(port), context=context)
else:
    p = poplib.POP3('127.0.0.1', int(port))
    assert 'STLS' in p.capa()
    p.stls(context)
capa = p.capa()
assert 'SCRAM-SHA-256' in capa['SASL'] and 'PIPELINING' in capa and 'UTF8' in capa, capa
p.utf8()
p.user(user)
p.pass_(password)
count, size = p.stat()
listing = p.list()[1]
ids = [line.split()[1] for line in p.uidl()[1]]
assert len(listing) == count == len(set(ids)), (count, len(listing), len(set(ids)))
assert sum(int(line.split()[1]) for line in listing) == size
for i in range(1, count + 1):
    lines = p.retr(i)[1]
    content = b''.join(line + b'\r\n' for line in lines)
    assert len(content) == int(listing[i-1].split()[1]), (i, len(content), listing[i-1])
    top = p.top(i, 3)[1]
    assert top == lines[:len(top)] and (len(top) == lines.index(b'') + 4 or len(top) == len(lines)), (i, len(top), len(lines))
    open('%s/%d' % (out, i), 'wb').write(content)
try:
    p.retr(count + 1)
    raise SystemExit('a message that is not there was sent')
except poplib.error_proto:
    pass
p.dele(1)
p.rset()
p.quit()
`

func poplib(t *testing.T, n *kit.PopNode, dir, how string, port int) {
	kit.RunClient(t, exec.Command("python3", "-c", poplibClient, how, fmt.Sprint(port), kit.Alice,
		kit.PopPassword, dir))
}

func curlPOP3(t *testing.T, n *kit.PopNode, dir string, count int) {
	user := kit.Alice + ":" + kit.PopPassword
	kit.RunClient(t, exec.Command("curl", "-sSfk", "--ssl-reqd", "-u", user,
		fmt.Sprintf("pop3://%s/[1-%d]", n.POP3, count), "-o", dir+"/#1"))
	uidl := kit.RunClient(t, exec.Command("curl", "-sSfk", "-u", user, "-X", "UIDL",
		"pop3s://"+n.POP3S+"/"))
	if lines := strings.Count(string(uidl), "\n"); lines != count {
		t.Errorf("%d unique-ids of %d messages", lines, count)
	}
}

func fetchmail(t *testing.T, n *kit.PopNode, dir string, _ int) {
	home := t.TempDir()
	rc := fmt.Sprintf(`set invisible
poll 127.0.0.1 service %d protocol pop3 auth password no envelope uidl
user "%s" password "%s" sslproto "tls1+" no sslcertck fetchall keep norewrite pass8bits
mda "%s/deliver"
`, kit.PortOf(t, n.POP3), kit.Alice, kit.PopPassword, home)
	deliver := fmt.Sprintf("#!/bin/sh\nexec cat > \"$(mktemp %s/XXXXXXXX)\"\n", dir)
	for name, text := range map[string]string{"rc": rc, "deliver": deliver} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("fetchmail", "-f", filepath.Join(home, "rc"), "--nosyslog", "--pidfile",
		filepath.Join(home, "pid"))
	cmd.Env = append(os.Environ(), "HOME="+home, "FETCHMAILHOME="+home, "FETCHMAILUSER=alice")
	kit.RunClient(t, cmd)
}

func mpop(t *testing.T, n *kit.PopNode, dir, pipelining, auth string) {
	kit.MakeMaildir(t, dir)
	home := t.TempDir()
	text := fmt.Sprintf(
		"account default\nhost 127.0.0.1\nport %d\nuser %s\npassword %q\nauth %s\ntls "+
			"on\ntls_starttls on\ntls_certcheck off\n"+
			"delivery maildir %s\nkeep on\nonly_new off\nreceived_header off\npipelining "+
			"%s\nuidls_file %s/uidls\n",
		kit.PortOf(t, n.POP3), kit.Alice, kit.PopPassword, auth, dir, pipelining, home)
	conf := filepath.Join(home, "conf")
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	kit.RunClient(t, exec.Command("mpop", "-C", conf, "-q"))
}

// TestPOP3Deletes: messages go with QUIT and with nothing else, also when the node is killed.
func TestPOP3Deletes(t *testing.T) {
	kit.NeedProgram(t, "python3", "python3")
	n := kit.NewPopNode(t, kit.NodeOptions{})
	n.Start()
	dir := t.TempDir()
	kit.WriteMaildir(t, dir, kit.Uniform(1000, 2000))
	n.AddMailbox(kit.Alice, dir)
	count := func(want int) {
		t.Helper()
		c := kit.LoginPOP3(t, n.POP3, kit.Alice, kit.PopPassword)
		if got, _ := c.Listing("LIST"); got != want {
			t.Fatalf("%d messages are there, want %d", got, want)
		}
		c.Say("QUIT")
	}
	reset := kit.LoginPOP3(t, n.POP3, kit.Alice, kit.PopPassword)
	for i := range 1000 {
		reset.Say(fmt.Sprint("DELE ", i+1))
	}
	reset.Conn.(*net.TCPConn).SetLinger(0)
	reset.Conn.Close()
	kit.Eventually(t, 10*time.Second, func() bool {
		return n.Metric("postroad_pop3_maildrops_open") == 0
	}, func() string { return "the session that was reset stays" })
	count(1000)
	kit.RunClient(t, exec.Command("python3", "-c", `
import poplib, sys
p = poplib.POP3('127.0.0.1', int(sys.argv[1]))
p.user(sys.argv[2])
p.pass_(sys.argv[3])
for i in range(1, 1001, 2):
    p.dele(i)
assert p.stat()[0] == 500
p.quit()
`, fmt.Sprint(kit.PortOf(t, n.POP3)), kit.Alice, kit.PopPassword))
	n.Kill()
	n.Start()
	count(500)
}

// TestPOP3Many has mpop, curl and poplib read a mailbox of many messages. POSTROAD_LONG=1: 50,000.
func TestPOP3Many(t *testing.T) {
	kit.NeedProgram(t, "mpop", "mpop")
	kit.NeedProgram(t, "python3", "python3")
	count := 3000
	if kit.Long() {
		count = 50_000
	}
	n := kit.NewPopNode(t, kit.NodeOptions{})
	n.Start()
	dir := t.TempDir()
	messages := kit.Uniform(count, 1500)
	kit.WriteMaildir(t, dir, messages)
	n.AddMailbox(kit.Alice, dir)
	want := map[mailtest.Sum]string{}
	for i, m := range messages {
		sum, _ := mailtest.SumOf(m)
		want[sum] = fmt.Sprint(i)
	}
	for name, read := range map[string]func(t *testing.T, dir string){
		"poplib": func(t *testing.T, dir string) {
			poplib(t, n, dir, "stls", kit.PortOf(t, n.POP3))
		},
		"mpop": func(t *testing.T, dir string) { mpop(t, n, dir, "on", "scram-sha-256") },
		"curl": func(t *testing.T, dir string) { curlPOP3(t, n, dir, count) },
	} {
		t.Run(name, func(t *testing.T) {
			out, err := os.MkdirTemp("/dev/shm", "pop3-") // mpop syncs each message that it writes
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(out)
			start := time.Now()
			read(t, out)
			t.Logf("%d messages in %v", count, time.Since(start).Round(time.Millisecond))
			compareMessages(t, out, want)
		})
	}
}
