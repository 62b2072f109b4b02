package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/config"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
	"github.com/postroad/postroad/mailbox"
)

// reloader is a node whose file a test changes.
type reloader struct {
	*boxNodes
	n     *node
	text  string
	addrs []string
}

// startReloader starts a node, and finds so many free addresses for its listeners.
func startReloader(t *testing.T, addrs int) *reloader {
	t.Helper()
	b := startBoxNodes(t, 1)
	r := &reloader{boxNodes: b, n: b.all[0]}
	text, err := os.ReadFile(r.n.file)
	b.ok(err)
	r.text = string(text)
	r.addrs, err = mailtest.FreeAddrs("127.0.0.1", addrs)
	b.ok(err)
	return r
}

// reload writes the file with the listeners (after "N KIND", further lines) and further sections in
// place of its own, and reads it.
func (r *reloader) reload(more string, listeners ...string) reloaded {
	r.t.Helper()
	list := ""
	for _, l := range listeners {
		l, keys, _ := strings.Cut(l, "\n")
		var i int
		var kind string
		if _, err := fmt.Sscan(l, &i, &kind); err != nil {
			r.t.Fatal(err)
		}
		list += fmt.Sprintf("[[listener]]\naddress = %q\nkind = %q\n%s\n", r.addrs[i], kind, keys)
	}
	text := strings.Replace(r.text, "[[listener]]\naddress = \"127.0.0.1:0\"\n", list, 1)
	if !strings.Contains(more, "[admin]") {
		more += "\n[admin]\naddress = \"\"\n"
	}
	text = strings.Replace(text, "[admin]\naddress = \"\"\n", more+"\n", 1)
	r.ok(os.WriteFile(r.n.file, []byte(text), 0o600))
	return r.n.reload()
}

// must is a reload that is to succeed, and to leave nothing to a restart.
func (r *reloader) must(more string, listeners ...string) {
	r.t.Helper()
	if done := r.reload(more, listeners...); done.err != nil || len(done.restart) > 0 {
		r.t.Fatalf("%+v", done)
	}
}

// talker is a client of SMTP or POP3.
type talker struct {
	*textproto.Conn
	raw    net.Conn
	isPOP3 bool
}

// talk connects and reads the greeting, which is to begin with want.
func talk(address, want string) (*talker, error) {
	raw, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	c := &talker{Conn: textproto.NewConn(raw), raw: raw}
	if err := raw.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, err
	}
	greeting, err := c.hear(want)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.isPOP3 = strings.HasPrefix(greeting, "+OK")
	return c, nil
}

// hear reads a reply, which is to begin with want.
func (c *talker) hear(want string) (reply string, err error) {
	for {
		line, err := c.ReadLine()
		if err != nil {
			return "", err
		}
		reply += line + "\n"
		if len(line) < 4 || line[3] != '-' || line[0] == '-' {
			break
		}
	}
	if !strings.HasPrefix(reply, want) {
		return "", fmt.Errorf("got %q, want %s", reply, want)
	}
	return reply, nil
}

// say sends lines, each when the one before it has been answered; want are the answers' beginnings.
func (c *talker) say(lines ...string) (reply string, err error) {
	for i := 0; i < len(lines); i += 2 {
		if err := c.PrintfLine("%s", lines[i]); err != nil {
			return "", err
		}
		if reply, err = c.hear(lines[i+1]); err != nil {
			return "", fmt.Errorf("after %q: %w", lines[i], err)
		}
	}
	return reply, nil
}

// greets returns how a listener greets.
func (r *reloader) greets(i int) string {
	c, err := talk(r.addrs[i], "")
	if err != nil {
		return "nobody"
	}
	defer c.Close()
	if _, err := c.say("QUIT", ""); err != nil {
		r.t.Errorf("listener %d: %v", i, err)
	}
	return map[bool]string{true: "POP3", false: "SMTP"}[c.isPOP3]
}

// TestReloadListeners: listeners come and go, and change places, by one reload; who is connected
// stays so. What cannot be done refuses the whole reload.
func TestReloadListeners(t *testing.T) {
	r := startReloader(t, 4)
	say := func(c *talker, lines ...string) string {
		t.Helper()
		reply, err := c.say(lines...)
		if err != nil {
			t.Error(err)
		}
		return reply
	}
	open := func(i int, want string) *talker {
		t.Helper()
		c, err := talk(r.addrs[i], want)
		r.ok(err)
		t.Cleanup(func() { c.Close() })
		return c
	}
	expect := func(want ...string) {
		t.Helper()
		for i, want := range want {
			if got := r.greets(i); got != want {
				t.Errorf("listener %d is %s, want %s", i, got, want)
			}
		}
	}
	r.must("", "0 relay", "1 pop3")
	expect("SMTP", "POP3", "nobody")
	relay, pop := open(0, "220"), open(1, "+OK")
	r.must("", "0 pop3", "1 submission", "2 relay")
	expect("POP3", "SMTP", "SMTP")
	say(relay, "EHLO a", "250", "MAIL FROM:<a@b.example>", "250")
	say(pop, "NOOP", "-ERR Not before")
	third := open(2, "220")
	say(third, "EHLO a", "250")

	taken, err := net.Listen("tcp", r.addrs[3])
	r.ok(err)
	defer taken.Close()
	before := r.n.cfg()
	size := "[limits]\nmessage_size = \"77KiB\"\n"
	list := "[ldap]\nurl = \"ldap://127.0.0.1:1\"\nbase = \"x\"\nca_file = \"none\""
	for more, listeners := range map[string][]string{
		size: {"0 relay", "3 relay"},
		size + "[tls]\ncertificate = \"none\"\nkey = \"none\"\n": {"0 relay"},
		size + "[events]\nfile = \"/none/x\"\n":                  {"0 relay"},
		size + list:                                              {"0 relay"},
	} {
		if done := r.reload(more, listeners...); done.err == nil || r.n.cfg() != before {
			t.Errorf("%q was taken", more)
		} else {
			t.Log(done.err)
		}
	}
	expect("POP3", "SMTP", "SMTP")
	if reply := say(third, "EHLO a", "250"); strings.Contains(reply, "SIZE 78848") {
		t.Errorf("a reload that was refused has changed limits: %s", reply)
	}

	// an address in whose way one that goes is; and back, when the rest of the file is refused
	one := r.addrs[0]
	_, port, _ := net.SplitHostPort(one)
	r.addrs[0] = "0.0.0.0:" + port
	if done := r.reload(size+list, "0 relay"); done.err == nil {
		t.Error("a file with a fault was taken")
	}
	expect("POP3")
	r.must("", "0 relay", "1 submission", "2 relay")
	expect("SMTP", "SMTP", "SMTP")
	r.addrs[0] = one
	r.must("", "0 pop3", "1 submission", "2 relay")
	expect("POP3", "SMTP", "SMTP")

	r.must(size, "0 pop3")
	expect("POP3", "nobody", "nobody")
	if reply := say(third, "EHLO a", "250"); !strings.Contains(reply, "SIZE 78848") {
		t.Errorf("a session whose listener is gone: %s", reply)
	}
	say(relay, "RCPT TO:<a@b.example>", "250", "QUIT", "221")
	say(pop, "NOOP", "-ERR Not before", "QUIT", "+OK")
}

// side is one of two files that differ in every key that a reload takes in the servers.
type side struct {
	more      string
	listeners []string
	size      string // as EHLO says it
	host      string // of the certificate
	greets    []string
}

// sides makes both, and the files that they name.
func (r *reloader) sides() (sides [2]side) {
	dir := r.t.TempDir()
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		r.ok(os.WriteFile(path, text, 0o600))
		return path
	}
	for i, s := range []struct {
		n                    int
		format, ldap, tenant string
		plain, from          string
	}{
		{1, "text", "", "one", "true", `"192.0.2.0/24"`},
		{2, "json", "url = \"ldap://127.0.0.1:1\"\nbase = \"dc=example\"", "two", "false", ""},
	} {
		host := fmt.Sprintf("side%d.example", s.n)
		made, err := mailtest.NewCertificate(host)
		r.ok(err)
		sides[i].host, sides[i].size = host, fmt.Sprint("SIZE ", s.n<<20)
		sides[i].more = fmt.Sprintf(`[limits]
message_size = "%[1]dMiB"
recipients = %[1]d00
connections = %[1]d000
connections_per_network = %[1]d00
messages_per_connection = %[1]d00000
errors = %[1]d0
auth_failures = %[1]d
hops = %[1]d00
idle_timeout = "%[1]dm"
minimum_data_rate = "%[1]d0B"
free_disk = "%[1]d%%"
[tls]
certificate = %[2]q
key = %[3]q
[policy]
campaign_header = "X-%[1]d"
user_messages = "%[1]d000/s"
user_recipients = "%[1]d000/s"
[events]
file = "events%[1]d.jsonl"
rotate = "%[1]dGiB"
keep = %[1]d
[telemetry]
log_format = %[4]q
trace_sample = "%[1]d%%"
[ldap]
%[5]s
[admin]
address = ""
hosts = [%[2]q]
`, s.n, file(host+".cert", made.Cert), file(host+".key", made.Key), s.format, s.ldap)
		kinds := [2]string{"relay", "pop3"}
		greets := [2]string{"SMTP", "POP3"}
		sides[i].listeners = []string{
			fmt.Sprintf("0 relay\ntenant = %q\nproxy_protocol_from = [%s]", s.tenant, s.from),
			"1 pop3\nauth_without_tls = " + s.plain,
			"2 " + kinds[i], "3 " + kinds[1-i], fmt.Sprint(4+i, " relay"),
		}
		sides[i].greets = []string{"SMTP", "POP3", greets[i], greets[1-i],
			[2]string{"SMTP", "nobody"}[i], [2]string{"nobody", "SMTP"}[i]}
	}
	return sides
}

// inForce checks that new connections see a side.
func (r *reloader) inForce(s *side) {
	r.t.Helper()
	for i, want := range s.greets {
		if got := r.greets(i); got != want {
			r.t.Errorf("listener %d is %s, want %s", i, got, want)
		}
	}
	c, err := talk(r.addrs[0], "220")
	r.ok(err)
	defer c.Close()
	if reply, err := c.say("EHLO a", "250"); err != nil || !strings.Contains(reply, s.size+"\n") {
		r.t.Errorf("want %s, got %s %v", s.size, reply, err)
	}
	_, err = c.say("STARTTLS", "220")
	r.ok(err)
	inner := tls.Client(c.raw, &tls.Config{InsecureSkipVerify: true})
	r.ok(inner.Handshake())
	if got := inner.ConnectionState().PeerCertificates[0].DNSNames[0]; got != s.host {
		r.t.Errorf("the certificate is %s's, want %s's", got, s.host)
	}
	events := r.n.cfg().EventsPath()
	if _, err := os.Stat(events); err != nil {
		r.t.Error(err)
	}
}

// TestReloadUnderLoad reloads the configuration every 50 ms, between two files that differ in all
// that the servers may change, while mail comes in and mailboxes are read, over connections that
// stay open and over new ones: no connection is lost, no message, no event, and what a reload says
// is in force when it has returned.
func TestReloadUnderLoad(t *testing.T) {
	r := startReloader(t, 6)
	sides := r.sides()
	const inbox, reader = "inbox@example.net", "reader@example.net"
	r.user(inbox)
	r.user(reader)
	r.ok(r.n.boxes.Create(r.ctx, reader, mailbox.Settings{}))
	r.stored(r.n, 1, reader, "one\r\n", mailbox.Stored)
	r.must(sides[0].more, sides[0].listeners...)
	r.inForce(&sides[0])

	var accepted atomic.Int64
	message := func(c *talker) error {
		_, err := c.say("MAIL FROM:<a@b.example>", "250", "RCPT TO:<"+inbox+">", "250",
			"DATA", "354", "X-1: a\r\nX-2: b\r\nSubject: x\r\n\r\ntext\r\n.", "250")
		if err == nil {
			accepted.Add(1)
		}
		return err
	}
	over := make(chan struct{})
	var all sync.WaitGroup
	// again does what it is given until the test is over
	again := func(what string, do func() error) {
		all.Go(func() {
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-over:
					return
				case <-tick.C:
				}
				if err := do(); err != nil {
					t.Errorf("%s: %v", what, err)
					return
				}
			}
		})
	}
	for i := range 3 {
		sender, err := talk(r.addrs[0], "220")
		r.ok(err)
		defer sender.Close()
		_, err = sender.say("EHLO a", "250")
		r.ok(err)
		again("a sender that stays", func() error { return message(sender) })
		again("a sender that comes and goes", func() error {
			c, err := talk(r.addrs[0], "220")
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err := c.say("EHLO a", "250"); err != nil {
				return err
			}
			if err := message(c); err != nil {
				return err
			}
			_, err = c.say("QUIT", "221")
			return err
		})
		again("a client of a listener that changes its kind", func() error {
			c, err := talk(r.addrs[2+i%2], "")
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.say("QUIT", "")
			return err
		})
	}
	pop, err := talk(r.addrs[1], "+OK")
	r.ok(err)
	defer pop.Close()
	_, err = pop.say("USER "+reader, "+OK", "PASS pw", "+OK")
	r.ok(err)
	again("a reader that stays", func() error {
		if _, err := pop.say("STAT", "+OK 1 ", "RETR 1", "+OK"); err != nil {
			return err
		}
		_, err := pop.ReadDotLines()
		return err
	})

	reloads := 20
	if !testing.Short() {
		reloads = 100
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	longest := time.Duration(0)
	for i := range reloads {
		<-tick.C
		side := &sides[(i+1)%2]
		start := time.Now()
		r.must(side.more, side.listeners...)
		longest = max(longest, time.Since(start))
		if i%10 > 7 {
			r.inForce(side)
		}
	}
	close(over)
	all.Wait()
	t.Logf("%d reloads, of which the longest took %v, and %d messages", reloads, longest,
		accepted.Load())
	if longest > time.Second {
		t.Errorf("a reload took %v", longest)
	}
	box, err := r.n.boxes.Mailbox(r.ctx, inbox)
	r.ok(err)
	r.await("all messages in the mailbox", func() bool {
		list, err := r.n.boxes.Messages(r.ctx, box.Ref, mailbox.Inbox)
		r.ok(err)
		return len(list) == int(accepted.Load())
	})
	r.ok(r.n.log.Flush(r.ctx))
	received := 0
	for i := range sides {
		b, err := os.ReadFile(filepath.Join(r.n.cfg().Node.DataDir,
			fmt.Sprintf("events%d.jsonl", i+1)))
		r.ok(err)
		received += strings.Count(string(b), `"type":"Reception"`)
	}
	if received != int(accepted.Load()) {
		t.Errorf("the event logs have %d receptions of %d messages", received, accepted.Load())
	}
}

// TestReloadOfTheSocket: a group is let in and shut out by a reload, and a reload that is refused
// leaves that as it was.
func TestReloadOfTheSocket(t *testing.T) {
	r := startReloader(t, 1)
	group := fmt.Sprintf("[admin]\naddress = \"\"\nsocket_group = \"%d\"\n", os.Getegid())
	mode := func(want os.FileMode) {
		t.Helper()
		info, err := os.Stat(r.n.cfg().SocketPath())
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%v, %v; want %v", info, err, want)
		}
	}
	mode(0o600)
	r.must(group, "0 relay")
	mode(0o660)
	if done := r.reload("[admin]\naddress = \"192.0.2.1:1\"\n", "0 relay"); done.err == nil {
		t.Error("an address of nobody's was taken")
	}
	mode(0o660)
	r.must("", "0 relay")
	mode(0o600)
}

// TestKeptAndRelayed: the configuration may come to name a domain that the directory had first.
func TestKeptAndRelayed(t *testing.T) {
	r := startReloader(t, 1)
	served(t, r.n)
	r.ok(r.n.editor.AddDomain(t.Context(), "xn--bcher-kva.example", "+"))
	r.await("the directory to have the domain", func() bool {
		_, ok := r.n.users.Domain("xn--bcher-kva.example")
		return ok
	})
	c, err := config.Parse("f",
		[]byte("[relay]\ndomains = [\"other.example\", \"Bücher.example\"]\n"))
	r.ok(err)
	if both := r.n.keptAndRelayed(c); !slices.Equal(both, []string{"xn--bcher-kva.example"}) {
		t.Errorf("%q", both)
	}
}
