package operators

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// readers is a node that has relayed a message and refused others, for programs that read logs.
type readers struct {
	*kit.Node
	log string // the path of what it wrote
}

const (
	insider, outsider = "127.0.0.2", "127.0.0.3"
	bigMessage        = 90 << 10
)

// startReaders has an insider send two messages, one too large, and an outsider try to relay, to
// write to nobody, and to log in.
func startReaders(t *testing.T, extra string) *readers {
	t.Helper()
	w := kit.NewWorld(t, 1, mailtest.SinkOptions{})
	n := kit.NewNode(t, kit.NodeOptions{DNS: w.DNS.Addr(), Port: w.Port(), Extra: extra,
		Relay: `networks = ["` + insider + `/32"]`, Limit: `message_size = "64KiB"`})
	n.Start()
	n.AddUser("right", "u@postroad.test")
	send := func(from, to, text string) error {
		c := dialFrom(t, from, n.Relay)
		defer c.Close()
		return say(c, "a@origin.example", to, text)
	}
	const text = "Message-ID: <m1@origin.example>\r\nSubject: x\r\n\r\nhello\r\n"
	if err := send(insider, "b@d0.example", text); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, to, text, want string }{
		{insider, "b@d0.example", text + strings.Repeat("x\r\n", bigMessage/3), "552"},
		{outsider, "b@d0.example", text, "550"},
		{outsider, "nobody@postroad.test", text, "550"},
	} {
		err := send(c.from, c.to, c.text)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Fatalf("from %s to %s: %v, want %s", c.from, c.to, err, c.want)
		}
	}
	// before the node surely knows all users, the answer is 454
	kit.Eventually(t, time.Minute, func() bool {
		c := dialFrom(t, outsider, n.Submit)
		defer c.Close()
		if err := c.StartTLS(&tls.Config{InsecureSkipVerify: true}); err != nil {
			t.Fatal(err)
		}
		err := c.Auth(smtp.PlainAuth("", "u@postroad.test", "wrong", "mx1"))
		if err == nil {
			t.Fatal("a wrong password is right")
		}
		return strings.HasPrefix(err.Error(), "535")
	}, n.Log)
	kit.Eventually(t, time.Minute, func() bool { return strings.Contains(n.Log(), "removed") },
		n.Log)
	r := &readers{n, filepath.Join(n.Dir, "mail.log")}
	kit.Need(t, os.WriteFile(r.log, []byte(n.Log()), 0o600))
	return r
}

func dialFrom(t *testing.T, from, to string) *smtp.Client {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	conn, err := d.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	c, err := smtp.NewClient(conn, "mx1")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// say sends one message and returns what is refused.
func say(c *smtp.Client, from, to, text string) error {
	if err := c.Mail(from); err != nil {
		return err
	}
	if err := c.Rcpt(to); err != nil {
		return err
	}
	data, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := data.Write([]byte(text)); err != nil {
		return err
	}
	return data.Close()
}

// TestPflogsumm has Debian's pflogsumm read the log: it counts what was received, delivered and
// refused, and names the reasons.
func TestPflogsumm(t *testing.T) {
	t.Parallel()
	kit.NeedProgram(t, "pflogsumm", "pflogsumm")
	r := startReaders(t, "")
	out, err := exec.Command("pflogsumm", "--syslog-name=postroad", r.log).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		`(?m)^ +1 +received$`, `(?m)^ +1 +delivered$`, `(?m)^ +3 +rejected`, `(?m)^ +1 +senders$`,
		`(?m)^ +1 +a@origin\.example$`, `(?m)^ +1 +b@d0\.example$`,
		`Recipient address rejected: Relay access denied \(total: 1\)`,
		`Recipient address rejected: User unknown \(total: 1\)`,
		`End-of-data rejected: Message is larger than the limit that EHLO says \(total: 1\)`,
		`SASL PLAIN authentication failed`,
	} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("no %s in\n%s\nof\n%s", want, out, r.Log())
		}
	}
}

// TestFail2ban has Debian's fail2ban read the log with our filter, which is its own for Postfix
// under our program's name: it finds the outsider, who guesses by POP3, too, and nobody else.
func TestFail2ban(t *testing.T) {
	t.Parallel()
	kit.NeedProgram(t, "fail2ban-regex", "fail2ban")
	pop3 := kit.FreeAddr(t)
	r := startReaders(t, fmt.Sprintf("[[listener]]\naddress = %q\nkind = \"pop3\"\n"+
		"auth_without_tls = true\n", pop3))
	r.guessByPOP3(pop3)
	const filters = "/etc/fail2ban/filter.d"
	for _, name := range []string{"postfix.conf", "common.conf"} {
		kit.Need(t, os.Symlink(filepath.Join(filters, name), filepath.Join(r.Dir, name)))
	}
	ours, err := os.ReadFile("../../deploy/fail2ban/postroad.conf")
	kit.Need(t, err)
	filter := filepath.Join(r.Dir, "postroad.conf")
	kit.Need(t, os.WriteFile(filter, ours, 0o600))
	for mode, want := range map[string]int{"normal": 2, "auth": 2, "extra": 4} {
		out, err := exec.Command("fail2ban-regex", "-o", "ip", r.log,
			fmt.Sprintf("%s[mode=%s]", filter, mode)).CombinedOutput()
		if got := strings.Fields(string(out)); err != nil || len(got) != want ||
			strings.Count(string(out), outsider) != want {
			t.Errorf("mode %s: %v, %d lines of\n%s\nwant %d of %s in\n%s", mode, err, len(got), out,
				want, outsider, r.Log())
		}
	}
}

// guessByPOP3 has the outsider guess a password by POP3, and reads the log again.
func (r *readers) guessByPOP3(addr string) {
	r.T.Helper()
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(outsider)}}
	conn, err := from.Dial("tcp", addr)
	kit.Need(r.T, err)
	defer conn.Close()
	_, err = conn.Write([]byte("USER u\r\nPASS wrong\r\n"))
	kit.Need(r.T, err)
	kit.Eventually(r.T, time.Minute, func() bool {
		return strings.Contains(r.Log(), "SASL USER authentication failed")
	}, r.Log)
	kit.Need(r.T, os.WriteFile(r.log, []byte(r.Log()), 0o600))
}

// closedToOthers looks at all that a node wrote, though its umask let others read.
func closedToOthers(t *testing.T, dir string) {
	t.Helper()
	kit.Need(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s can be used by others: %v", path, info.Mode())
		}
		return err
	}))
}

// TestLinesInOrder: the lines of a message begin with the client's, and each knows which message it
// is of, as text and as JSON.
func TestLinesInOrder(t *testing.T) {
	t.Parallel()
	r := startReaders(t, "[telemetry]\nlog_format = \"json\"\n")
	closedToOthers(t, filepath.Join(r.Dir, "data"))
	var programs []string
	id := ""
	for line := range strings.Lines(r.Log()) {
		var m map[string]any
		if json.Unmarshal([]byte(line), &m) != nil || m["queue_id"] == nil {
			continue
		}
		program := m["program"].(string)
		if id == "" {
			id = m["queue_id"].(string)
		}
		if m["queue_id"] == id {
			programs = append(programs, program)
		}
		if program == "postroad/smtp" && (m["status"] != "sent" || m["dsn"] != "2.0.0" ||
			m["to"] != "b@d0.example" || m["from"] != "a@origin.example") {
			t.Errorf("%v", m)
		}
	}
	want := "postroad/smtpd postroad/cleanup postroad/qmgr postroad/smtp postroad/qmgr"
	if got := strings.Join(programs, " "); got != want {
		t.Errorf("%s, want %s\n%s", got, want, r.Log())
	}
	for _, name := range []string{id, "<m1@origin.example>"} {
		kinds := regexp.MustCompile(`Reception|Delivery`).FindAllString(r.CLI("trace", name), -1)
		if strings.Join(kinds, " ") != "Reception Delivery" {
			t.Errorf("trace %s: %q", name, kinds)
		}
	}
	if out := r.CLI("trace", "--recipient", "nobody@postroad.test"); !strings.Contains(out,
		"550 5.1.1 User unknown") {
		t.Errorf("the refused one is not found: %s", out)
	}
}
