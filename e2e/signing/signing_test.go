package signing

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/dkimpy"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// signer is a node that signs mail of its tenant "lan", with the world that it delivers to.
type signer struct {
	*kit.Node
	t       *testing.T
	world   *kit.World
	lan     string // the listener of the tenant
	records map[string]string
}

func startSigner(t *testing.T) *signer {
	t.Helper()
	s := &signer{t: t, world: kit.NewWorld(t, 1, mailtest.SinkOptions{Keep: true}),
		lan: kit.FreeAddr(t), records: map[string]string{}}
	lan := fmt.Sprintf("[[listener]]\naddress = %q\nkind = \"relay\"\ntenant = \"lan\"\n", s.lan)
	s.Node = kit.NewNode(t, kit.NodeOptions{DNS: s.world.DNS.Addr(), Port: s.world.Port(),
		Extra: lan})
	s.Start()
	return s
}

// generate makes a key, publishes its record and has it found there.
func (s *signer) generate(domain string, args ...string) {
	s.t.Helper()
	zone := s.CLI(append([]string{"dkim", "generate", domain}, args...)...)
	s.publish(zone)
	if out := s.CLI("dkim", "check", domain); !strings.Contains(out, "active") {
		s.t.Fatalf("the key is not active: %s", out)
	}
}

// publish puts the lines of a zone file into DNS.
func (s *signer) publish(zone string) {
	s.t.Helper()
	for line := range strings.Lines(zone) {
		if err := s.world.DNS.Add(strings.TrimSpace(line)); err != nil {
			s.t.Fatal(err)
		}
		name, text, _ := strings.Cut(line, " IN TXT ( ")
		text = strings.ReplaceAll(strings.TrimSuffix(strings.TrimSpace(text), " )"), `" "`, "")
		s.records[strings.TrimSuffix(name, ".")] = strings.Trim(text, `"`)
	}
}

// lookup is DNS for verifiers.
func (s *signer) lookup(name string) ([]string, error) {
	if text, ok := s.records[strings.TrimSuffix(name, ".")]; ok {
		return []string{text}, nil
	}
	return nil, fmt.Errorf("no record at %s", name)
}

// arrived waits for so many messages and returns them.
func (s *signer) arrived(n int) []mailtest.Delivery {
	s.t.Helper()
	kit.Eventually(s.t, time.Minute, func() bool { return s.world.Sink.Accepted() >= n }, s.Log)
	return s.world.Sink.Deliveries()
}

// verify returns for each signature of a message whose it is, or why it does not verify.
func (s *signer) verify(content []byte) (domains []string, err error) {
	all, err := msgauth.VerifyWithOptions(bytes.NewReader(content),
		&msgauth.VerifyOptions{LookupTXT: s.lookup})
	for _, v := range all {
		if v.Err != nil {
			return nil, fmt.Errorf("%s: %w", v.Domain, v.Err)
		}
		domains = append(domains, v.Domain)
	}
	return domains, err
}

// TestSignedMail signs varied messages with RSA and Ed25519, and two foreign verifiers take every
// signature. POSTROAD_LONG=1: 2,000 messages.
func TestSignedMail(t *testing.T) {
	s := startSigner(t)
	s.generate("example.net", "--tenant", "lan")
	s.generate("example.net", "--tenant", "lan", "--algorithm", "ed25519")
	count := kit.Rounds(60, 2000)
	gen := &mailtest.Generator{Seed: 7, Run: "signed", Domains: s.world.Domains,
		From: "example.net", MaxSize: 64 << 10, MaxRecipients: 1}
	kit.Send(t, mailtest.SendOptions{Addr: s.lan, Connections: 4, Count: count,
		Message: gen.Message})

	var all [][]byte
	for _, d := range s.arrived(count) {
		domains, err := s.verify(d.Content)
		if err != nil || len(domains) != 2 {
			t.Errorf("%s: signed by %v, %v: %.1500q", d.ID, domains, err, d.Content)
		}
		all = append(all, d.Content)
	}
	for i, found := range dkimpy.Verify(t, s.records, all) {
		if len(found) != 2 || found[0] != "" || found[1] != "" {
			t.Errorf("message %d: dkimpy finds %q", i, found)
		}
	}
}

// TestNoSignatureForOthers: whatever somebody puts into a message, it gets no signature of a domain
// that is not the sender's.
func TestNoSignatureForOthers(t *testing.T) {
	s := startSigner(t)
	s.generate("mine.example", "--tenant", "lan")
	s.generate("victim.example", "--tenant", "other")
	s.generate("victim.example")
	s.CLI("domain", "add", "forward.example")
	s.AddUser("a good password", "u@forward.example", "--no-mailbox", "--forward",
		"x@"+s.world.Domains[0])
	attempts := []string{
		"From: a@victim.example",
		"From: <a@victim.example>",
		"From: Victim <a@victim.example>",
		"From: \"a@mine.example\" <a@victim.example>",
		"From: a@victim.example, b@mine.example",
		"From: b@mine.example, a@victim.example",
		"From: Group: a@victim.example;",
		"From: Group: b@mine.example, a@victim.example;",
		"From: a@mine.example\r\nFrom: a@victim.example",
		"From: a@victim.example\r\nFrom: a@mine.example",
		"From : a@victim.example",
		"FROM: a@victim.example",
		"From:\r\n a@victim.example",
		"From: =?utf-8?q?a=40mine.example?= <a@victim.example>",
		"From: =?utf-8?b?YUB2aWN0aW0uZXhhbXBsZQ==?= <a@victim.example>",
		"From: a@VICTIM.example",
		"From: a@victim.example.",
		"From: a(b@mine.example)@victim.example",
		"From: \"a\"@victim.example",
		"From: <@mine.example:a@victim.example>",
		"From: a@mine.example <a@victim.example>",
		"From: \"<a@mine.example>\" <a@victim.example>",
		"From: a@mine.example@victim.example",
		"From: a%mine.example@victim.example",
		"From: a@xn--victim-.example, a@victim.example",
		"Sender: a@mine.example\r\nFrom: a@victim.example",
		"Resent-From: a@mine.example\r\nFrom: a@victim.example",
		"Reply-To: a@mine.example\r\nFrom: a@victim.example",
		"Subject: x\r\nFrom: a@victim.example\r\nX-From: a@mine.example",
		"X: y\r\nfrom:a@victim.example",
	}
	sent := 0
	for _, header := range attempts {
		for _, to := range []string{"x@" + s.world.Domains[0], "u@forward.example"} {
			for _, addr := range []string{s.lan, s.Relay} { // the tenant, and a network of none
				content := header + "\r\nSubject: attempt\r\n\r\ntext\r\n"
				kit.SendOne(t, addr, "a@mine.example", content, to)
				sent++
			}
		}
	}
	for _, d := range s.arrived(sent) {
		domains, _ := s.verify(d.Content)
		if bytes.Contains(d.Content, []byte("d=victim.example")) || len(domains) > 0 {
			t.Errorf("signed by %v:\n%s", domains, d.Content)
		}
	}
	before := sent
	kit.SendOne(t, s.lan, "x@elsewhere.example",
		"From: A <a@mine.example>\r\nSubject: own\r\n\r\ntext\r\n", "x@"+s.world.Domains[0])
	own := s.arrived(before + 1)[before]
	if domains, err := s.verify(own.Content); err != nil || len(domains) != 1 ||
		domains[0] != "mine.example" {
		t.Errorf("the tenant's own mail is signed by %v, %v", domains, err)
	}
}
