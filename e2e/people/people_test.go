package people

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/smtp"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// mailOf returns the messages in a user's mailbox.
func mailOf(n *kit.Node, user string) (all []string) {
	n.T.Helper()
	dir := filepath.Join(n.T.TempDir(), "box")
	if out, err := exec.Command(n.Program, "mailbox", "export", user, dir, "--format", "maildir",
		"--config", n.Config).CombinedOutput(); err != nil {
		if strings.Contains(string(out), "no such mailbox") {
			return nil // it is made with the first message
		}
		n.T.Fatalf("%v: %s", err, out)
	}
	for _, content := range kit.ReadMaildir(n.T, dir) {
		all = append(all, string(content))
	}
	return all
}

// rcpt asks for a recipient and returns the code and enhanced code of the refusal, or "taken".
func rcpt(t testing.TB, addr, sender, recipient string) string {
	t.Helper()
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Mail(sender); err != nil {
		t.Fatal(err)
	}
	var refused *textproto.Error
	if errors.As(c.Rcpt(recipient), &refused) {
		enhanced, _, _ := strings.Cut(refused.Msg, " ")
		return fmt.Sprint(refused.Code, " ", enhanced)
	}
	return "taken"
}

// TestPeople sends to addresses of all kinds: what RCPT answers, where the mail goes, and what it
// carries.
func TestPeople(t *testing.T) {
	w := kit.NewWorld(t, 1,
		mailtest.SinkOptions{Keep: true, Hook: func(s *mailtest.Step) (a mailtest.Action) {
			if s.At == mailtest.AtRcpt && strings.HasPrefix(s.Recipient, "bounce@") {
				a.Reply = "550 5.1.1 not here"
			}
			return a
		}})
	away := w.Domains[0]
	n := kit.NewNode(t, kit.NodeOptions{DNS: w.DNS.Addr(), Port: w.Port(),
		Relay: `networks = ["127.0.0.2/32"]`})
	n.Start()
	n.CLI("domain", "add", "people.test")
	for _, user := range []string{"alice", "bob", "full"} {
		n.AddUser("secret", user+"@people.test")
	}
	n.CLI("user", "set", "full@people.test", "--hard-quota", "3KiB")
	n.AddUser("secret", "carol@people.test", "--forward", "carol@"+away)
	n.AddUser("secret", "dave@people.test", "--forward", "dave@"+away, "--keep-copy")
	n.AddUser("secret", "bot@people.test", "--no-mailbox")
	n.CLI("alias", "add", "sales@people.test", "alice@people.test", "sales@"+away)
	n.CLI("alias", "add", "team@people.test", "alice@people.test", "bob@people.test",
		"carol@people.test", "t@"+away, "--owner", "chief@people.test")
	n.CLI("alias", "add", "loop@people.test", "loop@people.test")
	n.CLI("domain", "add", "catch.test")
	n.CLI("alias", "add", "@catch.test", "bob@people.test")

	for recipient, want := range map[string]string{
		"alice@people.test": "taken", "Alice+x@People.Test": "taken", "sales@people.test": "taken",
		"team@people.test": "taken", "whoever@catch.test": "taken",
		"carol@people.test": "taken", "postmaster@people.test": "taken",
		"nobody@people.test": "550 5.1.1", "bot@people.test": "550 5.1.1",
		"loop@people.test": "550 5.4.6", "x@" + away: "550 5.7.1",
		"alice@postroad.test": "550 5.1.1",
	} {
		if got := rcpt(t, n.Relay, "s@"+away, recipient); got != want {
			t.Errorf("RCPT %s: %s, want %s", recipient, got, want)
		}
	}

	sender := "s@" + away
	send := func(subject string, to ...string) {
		kit.SendOne(t, n.Relay, sender, "Subject: "+subject+"\r\n\r\nbody\r\n", to...)
	}
	send("detail", "Alice+x@People.Test")
	send("both", "sales@people.test", "bob@people.test")
	send("list", "team@people.test")
	send("keep", "dave@people.test")
	send("caught", "whoever@catch.test")
	send("full", "full@people.test")
	c, err := smtp.Dial(n.Relay) // what carol forwarded comes back
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	back := "Delivered-To: carol@people.test\r\nSubject: back\r\n\r\n" + strings.Repeat("x\r\n",
		100)
	if err := kit.Transaction(c, sender, back, "carol@people.test"); err == nil ||
		!strings.Contains(err.Error(), "5.4.6") {
		t.Errorf("a forward that came back: %v", err)
	}

	kit.Eventually(t, time.Minute, n.QueueEmpty, func() string {
		return n.CLI("queue", "list") + n.Log()
	})
	for user, want := range map[string][]string{"alice": {"both", "detail", "list"},
		"bob": {"both", "caught", "list"}, "dave": {"keep"}, "full": {"full"}, "carol": nil} {
		var got []string
		for _, m := range mailOf(n, user+"@people.test") {
			_, rest, _ := strings.Cut(m, "Subject: ")
			subject, _, _ := strings.Cut(rest, "\r\n")
			got = append(got, subject)
			from := sender
			if subject == "list" {
				from = "chief@people.test"
			}
			if !strings.HasPrefix(m, "Return-Path: <"+from+">\r\nDelivered-To: "+user+
				"@people.test\r\n") {
				t.Errorf("%s has %.200q", user, m)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s has %q, want %q", user, got, want)
		}
	}
	var got []string
	for _, d := range w.Sink.Deliveries() {
		line := "from " + d.Sender + " to " + strings.Join(d.Recipients, " ")
		if strings.Contains(string(d.Content), "Delivered-To: carol@people.test\r\n") {
			line += " through carol"
		}
		if strings.Contains(string(d.Content), "Delivered-To: dave@people.test\r\n") {
			line += " through dave"
		}
		got = append(got, line)
	}
	slices.Sort(got)
	want := []string{"from chief@people.test to carol@" + away + " through carol",
		"from chief@people.test to t@" + away,
		"from " + sender + " to dave@" + away + " through dave", "from " + sender + " to sales@" +
			away}
	if !slices.Equal(got, want) {
		t.Errorf("remote copies\n got %q\nwant %q", got, want)
	}

	// Where the list's mail went is part of the message's journey; an alias is named beside the
	// recipient.
	out := n.CLI("trace", "--recipient", "team@people.test")
	_, id, ok := strings.Cut(out, "to <carol@"+away+"> for <team@people.test> of ")
	if !ok {
		t.Fatalf("trace of the list's mail:\n%s", out)
	}
	if id, _, _ = strings.Cut(id, ","); strings.Count(n.CLI("trace", id), "  Delivery  ") != 4 {
		t.Errorf("trace of %s:\n%s", id, n.CLI("trace", id))
	}
	if out := n.CLI("trace", "--recipient", "sales@people.test"); !strings.Contains(out,
		" to <alice@people.test> for <sales@people.test>") ||
		!strings.Contains(out, " to <sales@"+away+"> for <sales@people.test>") {
		t.Errorf("trace of the alias's mail:\n%s", out)
	}

	// A full mailbox: 4.2.2 at RCPT.
	for range 8 {
		if rcpt(t, n.Relay, sender, "full@people.test") == "taken" {
			send("more "+strings.Repeat("x", 300), "full@people.test")
			kit.Eventually(t, time.Minute, func() bool {
				return n.QueueEmpty() || strings.Contains(n.Log(), "4.2.2")
			}, n.Log)
		}
	}
	kit.Eventually(t, time.Minute, func() bool {
		return rcpt(t, n.Relay, sender, "full@people.test") == "452 4.2.2"
	}, func() string { return rcpt(t, n.Relay, sender, "full@people.test") })
	// A report finds its way through the alias that was the sender.
	submit(t, n.Submit, "alice@people.test", "secret", "alice@people.test",
		"Subject: to nobody\r\n\r\nx\r\n", "bounce@"+away)
	kit.Eventually(t, time.Minute, func() bool { return len(mailOf(n, "alice@people.test")) == 4 },
		n.Log)

	// A removed user has no mailbox any more.
	n.CLI("user", "remove", "bob@people.test")
	if got := rcpt(t, n.Relay, sender, "bob@people.test"); got != "550 5.1.1" {
		t.Errorf("RCPT of a user who is removed: %s", got)
	}
	if out := n.CLI("mailbox", "list"); strings.Contains(out, "bob@people.test") ||
		!strings.Contains(out, "alice@people.test") {
		t.Errorf("mailboxes after it:\n%s", out)
	}
}

// submit logs in on a submission listener and sends a message. It returns what AUTH answered.
func submit(t testing.TB, addr, user, password, sender, content string, to ...string) error {
	t.Helper()
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.StartTLS(&tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(smtp.PlainAuth("", user, password, "127.0.0.1")); err != nil || len(to) == 0 {
		return err
	}
	if err := kit.Transaction(c, sender, content, to...); err != nil {
		t.Fatal(err)
	}
	return nil
}

// hashesOfSecretWord are hashes of "secret word" that Dovecot's doveadm made.
var hashesOfSecretWord = []string{
	"{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$qNLvw1OXeiFpPd9ULyBvpQ$Gv4OQhm40roi1xuHPdokTAB+XH8oM7nTHFksOASXRNk",
	"{SCRAM-SHA-256}4096,VZL7UYWQk9BBw2RGqu87Qw==,2KmAh2/sxH24RBo/Ny4bZX0hawgEvhdmdhFwdM4fG8g=,msU+FjX8dXrEBqxSHsTBAMl64iEolXMsltRdWsWdipQ=",
	"{CRYPT}$2y$05$IF5EsP.crE/43E4ssbTn0O5m6OZfKOW/zncvbHs8wrHJPcBo32gde",
	"{CRYPT}$6$V2YTzdEBm.6nsfok$hbT7Xydhk.idNihw1nVCrBvxNuzZWX3otYmYr/KFw6rzZQQdVqFQxDdentZjKhYhXZ.b0S3bbo.JKJY3iMxPH1",
}

// TestImport imports users with the hashes of other systems into a cluster of one; they log in with
// the passwords they had. Nothing is there before it is published, nor after a file with a wrong
// row. POSTROAD_LONG=1 has 100,000 users.
func TestImport(t *testing.T) {
	count := 10_000
	if kit.Long() {
		count = 100_000
	}
	n := kit.NewNode(t, kit.NodeOptions{})
	n.Start()
	var file strings.Builder
	file.WriteString("address,hash,hard_quota\n")
	for i := range count {
		fmt.Fprintf(&file, "user%06d@postroad.test,\"%s\",5GiB\n", i,
			hashesOfSecretWord[i%len(hashesOfSecretWord)])
	}
	path := filepath.Join(n.Dir, "users.csv")
	bad := filepath.Join(n.Dir, "bad.csv")
	for name, text := range map[string]string{path: file.String(),
		bad: file.String() + "last@postroad.test,{MD5}x,\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(n.Program, "user", "import", bad, "--config",
		n.Config).CombinedOutput()
	if where := fmt.Sprintf("%s:%d:20: {MD5}", bad, count+2); err == nil ||
		!strings.Contains(string(out), where) {
		t.Errorf("a file with a wrong row: %v, %s; want %s", err, out, where)
	}
	began := time.Now()
	n.CLI("user", "import", path, "--stage", "move")
	staged := time.Since(began)
	if out := n.CLI("user", "list"); out != "" {
		t.Errorf("staged users are there: %.200s", out)
	}
	if err := submit(t, n.Submit, "user000000@postroad.test", "secret word", "", ""); err == nil {
		t.Error("a staged user logged in")
	}
	began = time.Now()
	n.CLI("user", "import", "--publish", "move")
	t.Logf("%d users: staged in %v, published in %v", count, staged, time.Since(began))
	if got := strings.Count(n.CLI("user", "list"), "\n"); got != count {
		t.Errorf("%d users are there", got)
	}
	for i := range hashesOfSecretWord {
		user := fmt.Sprintf("user%06d@postroad.test", count-len(hashesOfSecretWord)+i)
		if err := submit(t, n.Submit, user, "secret word", "", ""); err != nil {
			t.Errorf("%s: %v", hashesOfSecretWord[i], err)
		}
		if err := submit(t, n.Submit, user, "secret Word", "", ""); err == nil {
			t.Errorf("%s takes another password", hashesOfSecretWord[i])
		}
	}
	n.Kill()
	n.Start()
	if got := strings.Count(n.CLI("user", "list"), "\n"); got != count {
		t.Errorf("%d users are there after a crash", got)
	}
}

// lena is an entry without its addresses.
const lena = "dn: cn=Lena,dc=example,dc=net\nobjectClass: inetOrgPerson\ncn: Lena\nsn: L\n" +
	"userPassword: of lena\nentryUUID: 18913bb2-81be-1041-9f2a-23cb7aa89b41\n"

// TestLDAP has the users of an OpenLDAP server: they get mail and log in, and mail goes on while
// the server is away.
func TestLDAP(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	slapd, err := mailtest.StartSlapd(ctx, t.TempDir(),
		lena+"mail: Lena@postroad.test\nmail: lena.long@postroad.test\n")
	if errors.Is(err, exec.ErrNotFound) {
		kit.NeedProgram(t, "slapd", "slapd")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slapd.Stop() })
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(mailtest.SlapdPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bare := kit.FreeAddr(t)
	n := kit.NewNode(t,
		kit.NodeOptions{Extra: fmt.Sprintf(
			"[ldap]\nurl = %q\nbind_dn = %q\npassword_file = %q\nbase = "+
				"\"dc=example,dc=net\"\ninterval = \"1h\"\n"+
				"[[listener]]\naddress = %q\nkind = \"submission\"\n"+
				"login_domain = \"postroad.test\"\n[policy]\nalias_login = true\n", slapd.URL,
			mailtest.SlapdManager, secret, bare)})
	n.Start()
	n.AddUser("pw", "own@postroad.test")
	kit.Eventually(t, time.Minute, func() bool {
		return strings.Contains(n.CLI("user", "list"), "from ldap")
	}, n.Log)
	if err := submit(t, n.Submit, "lena@postroad.test", "of lena", "lena@postroad.test",
		"Subject: x\r\n\r\nx\r\n", "lena@postroad.test"); err != nil {
		t.Errorf("log-in: %v", err)
	}
	if err := submit(t, n.Submit, "lena@postroad.test", "of nobody", "", ""); err == nil ||
		!strings.Contains(err.Error(), "535") {
		t.Errorf("a wrong password: %v", err)
	}
	kit.Eventually(t, time.Minute, func() bool { return len(mailOf(n, "lena@postroad.test")) == 1 },
		n.Log)
	swapped(t, n, slapd)
	n.CLI("domain", "add", "old.test")
	n.CLI("alias", "add", "@old.test", "@postroad.test")
	for addr, user := range map[string]string{n.Submit: "lena@postroad.test", bare: "lena.long"} {
		if err := submit(t, addr, user, "of lena", "lena@postroad.test", "Subject: y\r\n\r\ny\r\n",
			"Lena.Long@old.test"); err != nil {
			t.Errorf("log-in as %s: %v", user, err)
		}
	}
	if err := submit(t, n.Submit, "lena@old.test", "of lena", "", ""); err != nil {
		t.Errorf("log-in by an alias of the domain: %v", err)
	}
	kit.Eventually(t, time.Minute, func() bool { return len(mailOf(n, "lena@postroad.test")) == 4 },
		n.Log)
	slapd.Stop()
	if got := rcpt(t, n.Relay, "s@x.example", "lena@postroad.test"); got != "taken" {
		t.Errorf("RCPT while the server is away: %s", got)
	}
	if err := submit(t, n.Submit, "lena@postroad.test", "of nobody", "", ""); err == nil ||
		!strings.Contains(err.Error(), "454") {
		t.Errorf("log-in while the server is away: %v", err)
	}
	if err := exec.Command(n.Program, "user", "sync", "--config", n.Config).Run(); err == nil {
		t.Error("a synchronisation with a server that is away")
	}
	if out := n.CLI("user", "list"); !strings.Contains(out, "lena@") ||
		!strings.Contains(out, "own@") {
		t.Errorf("users after it: %s", out)
	}
}

// swapped has the addresses of Lena's entry come in another order, and then without the one that
// names the mailbox: the mailbox stays hers, and gets mail for the other address, also after a
// start.
func swapped(t *testing.T, n *kit.Node, slapd *mailtest.Slapd) {
	t.Helper()
	for _, mail := range []string{"mail: lena@postroad.test\n", ""} {
		if err := slapd.Replace(t.Context(), lena+"mail: lena.long@postroad.test\n"+mail); err !=
			nil {
			t.Fatal(err)
		}
		n.CLI("user", "sync")
		n.Stop()
		n.Start()
		out := n.CLI("user", "list")
		if !strings.Contains(out, "lena@postroad.test  also gets mail for lena.long@") ||
			strings.Contains(out, "\nlena.long@") || strings.HasPrefix(out, "lena.long@") {
			t.Errorf("with the other and %q: %s", mail, out)
		}
	}
	if err := submit(t, n.Submit, "lena.long@postroad.test", "of lena", "lena@postroad.test",
		"Subject: z\r\n\r\nz\r\n", "lena.long@postroad.test"); err != nil {
		t.Errorf("log-in by the other address: %v", err)
	}
	kit.Eventually(t, time.Minute, func() bool { return len(mailOf(n, "lena@postroad.test")) == 2 },
		n.Log)
}
