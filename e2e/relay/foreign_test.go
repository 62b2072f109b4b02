package relay

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/peers"
	"github.com/postroad/postroad/e2e/kit"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// foreignMessages is how many varied messages go to, or come from, each foreign program. With
// POSTROAD_LONG=1 they are 500.
var foreignMessages = kit.Rounds(120, 500)

// TestReceivedByForeignServers relays varied messages to a Postfix and an Exim, which store them as
// they came. Below the trace header each is what was sent, octet for octet.
func TestReceivedByForeignServers(t *testing.T) {
	kit.Need(t, peers.PostfixAvailable())
	prefix := os.Getenv("POSTROAD_EXIM")
	kit.Need(t, peers.EximAvailable(prefix))
	pf := kit.StartPostfix(t, peers.PostfixOptions{Local: "pf.test", Log: true})
	ex := startExim(t, prefix)
	n := kit.NewNode(t,
		kit.NodeOptions{Extra: fmt.Sprintf(
			"[[route]]\ndomain = \"pf.test\"\nsmart_host = %q\n[[route]]\ndomain = "+
				"\"exim.test\"\nsmart_host = %q\n",
			pf.Addr, ex.Addr)})
	n.Start()
	for _, peer := range []struct {
		domain string
		in     *peers.Instance
	}{{"pf.test", pf}, {"exim.test", ex}} {
		t.Run(peer.in.Name, func(t *testing.T) {
			gen := &mailtest.Generator{Seed: 2, Run: peer.in.Name, Domains: []string{peer.domain},
				MaxSize: 1 << 20}
			sent := sendAll(t, n.Relay, gen, mailtest.SendOptions{Connections: 8, Pipelining: true})
			stored := waitMaildirs(t, filepath.Join(peer.in.Dir, "mail"), copiesOf(sent.Sent), n)
			for _, fault := range kit.WrongCopies(sent.Sent, stored) {
				t.Error(fault)
			}
		})
	}
}

// TestForeignRelayThroughUs has a Postfix relay varied messages through the node.
func TestForeignRelayThroughUs(t *testing.T) {
	kit.Need(t, peers.PostfixAvailable())
	w := kit.NewWorld(t, 3, mailtest.SinkOptions{})
	n := kit.NewNode(t, kit.NodeOptions{DNS: w.DNS.Addr(), Port: w.Port()})
	n.Start()
	pf := kit.StartPostfix(t,
		peers.PostfixOptions{Relayhost: "[127.0.0.1]:" + fmt.Sprint(kit.PortOf(t, n.Relay)),
			Log: true})
	gen := &mailtest.Generator{Seed: 3, Run: "through", Domains: w.Domains, MaxSize: 1 << 20}
	sent := sendAll(t, pf.Addr, gen, mailtest.SendOptions{Connections: 8})
	if r := w.Settled(sent.Sent, mailtest.Rules{}, 4*time.Minute); !r.OK() {
		log, _ := os.ReadFile(pf.Log)
		t.Errorf("%v\nof Postfix's log:", r)
		for line := range strings.Lines(string(log)) {
			if strings.Contains(line, "status=") && !strings.Contains(line, "status=sent") ||
				strings.Contains(line, "warning") {
				t.Log(strings.TrimSpace(line))
			}
		}
	}
}

// TestForeignClients sends with swaks and Python's smtplib.
func TestForeignClients(t *testing.T) {
	kit.NeedProgram(t, "swaks", "swaks")
	kit.NeedProgram(t, "python3", "python3")
	w := kit.NewWorld(t, 2, mailtest.SinkOptions{})
	n := kit.NewNode(t, kit.NodeOptions{DNS: w.DNS.Addr(), Port: w.Port()})
	n.Start()
	addUser(t, n, "alice@postroad.test", "correct horse")

	gen := &mailtest.Generator{Seed: 4, Run: "clients", Domains: w.Domains, MaxSize: 300 << 10}
	var sent []mailtest.Sent
	record := func(m *mailtest.Message) {
		sent = append(sent, mailtest.Sent{ID: m.ID, Sum: m.Sum, Accepted: m.Recipients})
	}
	t.Run("smtplib", func(t *testing.T) {
		dir := t.TempDir()
		var lines strings.Builder
		for i := range 100 {
			m := gen.Message(i)
			name := filepath.Join(dir, fmt.Sprint(i))
			if err := os.WriteFile(name, m.Content, 0o600); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&lines, "%s\t%s\t%s\n", name, m.Sender, strings.Join(m.Recipients, ","))
			record(m)
		}
		cmd := exec.Command("python3", "-c", smtplibClient, fmt.Sprint(kit.PortOf(t, n.Relay)))
		cmd.Stdin = strings.NewReader(lines.String())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("smtplib: %v\n%s", err, out)
		}
	})
	t.Run("smtplib submission", func(t *testing.T) {
		m := gen.Message(1001)
		cmd := exec.Command("python3", "-c", smtplibSubmission, fmt.Sprint(kit.PortOf(t, n.Submit)),
			strings.Join(m.Recipients, ","))
		cmd.Stdin = bytes.NewReader(m.Content)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("smtplib: %v\n%s", err, out)
		}
		record(m)
	})
	for i, args := range [][]string{
		{"--server", n.Relay, "--from", "a@client.example"},
		{"--server", n.Relay, "--from", "a@client.example", "--tls"},
		{"--server", n.Relay, "--from", "a@client.example", "--pipeline"},
		{"--server", n.Submit, "--tls", "--auth", "PLAIN", "--auth-user", "alice@postroad.test",
			"--auth-password", "correct horse", "--from", "alice@postroad.test"},
		{"--server", n.Submit, "--tls", "--auth", "LOGIN", "--auth-user", "alice@postroad.test",
			"--auth-password", "correct horse", "--from", "alice@postroad.test"},
	} {
		t.Run(fmt.Sprintf("swaks %d", i), func(t *testing.T) {
			// a body without leading dots: swaks is to send the data as it is, and so does not
			// stuff
			m := gen.Message(2000 + 12*i)
			name := filepath.Join(t.TempDir(), "message")
			if err := os.WriteFile(name, append(m.Content, '.'), 0o600); err != nil {
				t.Fatal(err)
			}
			to := w.Domains[0]
			args := append(args, "--to", "r@"+to, "--data", "@"+name, "--no-data-fixup",
				"--protocol", "ESMTP")
			out, err := exec.Command("swaks", args...).CombinedOutput()
			if err != nil || !bytes.Contains(out, []byte("250 2.0.0 Ok: queued as ")) {
				t.Fatalf("swaks %v: %v\n%.4000s", args, err, out)
			}
			m.Recipients = []string{"r@" + to}
			record(m)
		})
	}
	t.Run("swaks is refused", func(t *testing.T) {
		for _, args := range [][]string{
			{"--server", n.Submit, "--from", "alice@postroad.test"},
			{"--server", n.Submit, "--tls", "--auth", "PLAIN", "--auth-user", "alice@postroad.test",
				"--auth-password", "wrong", "--from", "alice@postroad.test"},
			{"--server", n.Submit, "--tls", "--auth", "PLAIN", "--auth-user", "alice@postroad.test",
				"--auth-password", "correct horse", "--from", "bob@postroad.test"},
		} {
			if out, err := exec.Command("swaks",
				append(args, "--to", "r@"+w.Domains[0])...).CombinedOutput(); err == nil {
				t.Errorf("swaks %v was not refused:\n%s", args, out)
			}
		}
	})
	if r := w.Settled(sent, mailtest.Rules{}, time.Minute); !r.OK() {
		t.Errorf("%v\n%s", r, n.Log())
	}
}

const smtplibClient = `
import smtplib, sys
s = smtplib.SMTP("127.0.0.1", int(sys.argv[1]), timeout=60)
s.ehlo("client.example")
for line in sys.stdin:
    name, sender, rcpts = line.rstrip("\n").split("\t")
    body = open(name, "rb").read()
    rcpts = rcpts.split(",")
    opts = ["BODY=8BITMIME"]
    if any(ord(c) > 127 for c in sender + "".join(rcpts)):
        opts.append("SMTPUTF8")
    s.command_encoding = "utf-8"
    refused = s.sendmail(sender, rcpts, body, opts)
    assert not refused, refused
s.quit()
`

const smtplibSubmission = `
import smtplib, ssl, sys
ctx = ssl.create_default_context()
ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
s = smtplib.SMTP("127.0.0.1", int(sys.argv[1]), timeout=60)
s.starttls(context=ctx)
s.login("alice@postroad.test", "correct horse")
opts = ["BODY=8BITMIME"]
rcpts = sys.argv[2].split(",")
if any(ord(c) > 127 for c in sys.argv[2]):
    opts.append("SMTPUTF8")
s.command_encoding = "utf-8"
assert not s.sendmail("alice@postroad.test", rcpts, sys.stdin.buffer.read(), opts)
s.quit()
`

func addUser(t testing.TB, n *kit.Node, name, password string) {
	t.Helper()
	cmd := exec.Command(n.Program, "user", "add", name, "--password-stdin", "--config", n.Config)
	cmd.Stdin = strings.NewReader(password + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("postroad user add: %v\n%s", err, out)
	}
}

func sendAll(
	t testing.TB, addr string, gen *mailtest.Generator, o mailtest.SendOptions,
) *mailtest.SendReport {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	o.Addr, o.Count, o.Message, o.Retries = addr, foreignMessages, gen.Message, 5
	sent, err := mailtest.Send(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if sent.Messages != foreignMessages {
		for i := range sent.Sent {
			if s := &sent.Sent[i]; s.Err != nil || len(s.Refused) > 0 {
				t.Logf("%s: %v %v", s.ID, s.Refused, s.Err)
			}
		}
		t.Fatalf("not all were accepted: %v", sent)
	}
	return sent
}

// waitMaildirs waits until the Maildirs below dir have n messages and returns them with CRLF line
// ends, by path.
func waitMaildirs(t testing.TB, dir string, n int, from *kit.Node) map[string][]byte {
	t.Helper()
	var paths []string
	kit.Eventually(t, 4*time.Minute, func() bool {
		paths = nil
		filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() && filepath.Base(filepath.Dir(path)) == "new" {
				paths = append(paths, path)
			}
			return nil
		})
		return len(paths) >= n
	}, func() string {
		return fmt.Sprintf("%d of %d messages are in %s\n%s", len(paths), n, dir, from.Log())
	})
	stored := map[string][]byte{}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		stored[path] = bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
	}
	return stored
}

func startExim(t testing.TB, prefix string) *peers.Instance {
	t.Helper()
	return kit.StartPeer(t, "exim", func(dir string) (*peers.Instance, error) {
		return peers.Exim(context.Background(), peers.EximOptions{Prefix: prefix, Dir: dir,
			Listen: kit.FreeAddr(t)})
	})
}
