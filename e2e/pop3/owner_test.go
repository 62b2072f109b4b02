package pop3

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
	"github.com/postroad/postroad/mailbox"
)

// TestPOP3OwnerDies: the lock of a maildrop holds on all nodes; when the owner of the mailbox dies,
// the session that has the lock on another node removes nothing and is told [SYS/TEMP], and the
// next one finds all messages with the same unique-ids at the new owner.
func TestPOP3OwnerDies(t *testing.T) {
	const count = 50
	r := kit.StartBoxes(t, "", 3, 1)
	user, dir := r.Users[0], t.TempDir()
	kit.WriteMaildir(t, dir, kit.Uniform(count, 4096))
	r.Command(r.Cluster.Nodes()[0], "mailbox", "import", user, dir)
	owner := ownerOf(r, user)
	elsewhere := r.Another(owner)

	c := kit.LoginPOP3(t, elsewhere.POP3, user, kit.PopPassword)
	ids := text(c, "UIDL")
	c.Listing("RETR 1")
	for i := range count {
		c.Say(fmt.Sprint("DELE ", i+1))
	}
	for _, n := range r.Cluster.Nodes() {
		if got := kit.TryLogin(t, n.POP3, user); !strings.HasPrefix(got, "-ERR [IN-USE]") {
			t.Errorf("%s answers %q while a session on %s has the mailbox", n.Name, got,
				elsewhere.Name)
		}
	}
	r.Kills(owner)
	c.Send("QUIT")
	if line, err := c.In.ReadString('\n'); !strings.HasPrefix(line, "-ERR [SYS/TEMP]") {
		t.Errorf("QUIT after the owner's death: %q, %v", line, err)
	}
	for _, n := range r.Cluster.Live() {
		kit.Eventually(t, time.Minute, func() bool {
			return strings.HasPrefix(kit.TryLogin(t, n.POP3, user), "+OK")
		}, func() string {
			return fmt.Sprintf("nobody can log in at %s: %s", n.Name, kit.TryLogin(t, n.POP3, user))
		})
		c := kit.LoginPOP3(t, n.POP3, user, kit.PopPassword)
		if got := text(c, "UIDL"); got != ids {
			t.Errorf("at %s the unique-ids were\n%s\nand are\n%s", n.Name, ids, got)
		}
		if octets := c.Download(count, 10); octets != count*4096 {
			t.Errorf("at %s %d octets came", n.Name, octets)
		}
		c.Say("QUIT")
	}
}

// ownerOf returns the node that owns the mailbox of an address.
func ownerOf(r *kit.BoxRun, address string) (owner *faults.Node) {
	r.T.Helper()
	kit.Eventually(r.T, time.Minute, func() bool {
		s, err := r.Cluster.Status(r.Ctx)
		if err != nil {
			return false
		}
		shards := kit.ShardsOf(s)
		for _, g := range shards {
			if *g.Shard == mailbox.Shard(address, len(shards)) {
				owner = r.Cluster.Named(g.Leader)
			}
		}
		return owner != nil
	}, func() string { return "nobody owns the mailbox of " + address })
	return owner
}

// text returns an answer of several lines.
func text(c *kit.PopClient, command string) string {
	c.T.Helper()
	c.Say(command)
	b, err := c.Body(nil)
	if err != nil {
		c.T.Fatal(err)
	}
	return string(b)
}
