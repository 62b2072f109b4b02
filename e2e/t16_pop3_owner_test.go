package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/testkit/faults"
	"github.com/postroad/postroad/mailbox"
)

// TestPOP3OwnerDies: the lock of a maildrop holds on all nodes; when the owner of the mailbox dies,
// the session that has the lock on another node removes nothing and is told [SYS/TEMP], and the
// next one finds all messages with the same unique-ids at the new owner.
func TestPOP3OwnerDies(t *testing.T) {
	const count = 50
	r := startBoxes(t, "", 3, 1)
	user, dir := r.users[0], t.TempDir()
	writeMaildir(t, dir, uniform(count, 4096))
	r.command(r.Cluster.Nodes()[0], "mailbox", "import", user, dir)
	owner := r.ownerOf(user)
	elsewhere := r.another(owner)

	c := loginPOP3(t, elsewhere.POP3, user, popPassword)
	ids := c.text("UIDL")
	c.listing("RETR 1")
	for i := range count {
		c.say(fmt.Sprint("DELE ", i+1))
	}
	for _, n := range r.Cluster.Nodes() {
		if got := tryLogin(t, n.POP3, user); !strings.HasPrefix(got, "-ERR [IN-USE]") {
			t.Errorf("%s answers %q while a session on %s has the mailbox", n.Name, got, elsewhere.Name)
		}
	}
	r.kills(owner)
	c.send("QUIT")
	if line, err := c.in.ReadString('\n'); !strings.HasPrefix(line, "-ERR [SYS/TEMP]") {
		t.Errorf("QUIT after the owner's death: %q, %v", line, err)
	}
	for _, n := range r.Cluster.Live() {
		eventually(t, time.Minute, func() bool { return strings.HasPrefix(tryLogin(t, n.POP3, user), "+OK") }, func() string {
			return fmt.Sprintf("nobody can log in at %s: %s", n.Name, tryLogin(t, n.POP3, user))
		})
		c := loginPOP3(t, n.POP3, user, popPassword)
		if got := c.text("UIDL"); got != ids {
			t.Errorf("at %s the unique-ids were\n%s\nand are\n%s", n.Name, ids, got)
		}
		if octets := c.download(count, 10); octets != count*4096 {
			t.Errorf("at %s %d octets came", n.Name, octets)
		}
		c.say("QUIT")
	}
}

// ownerOf returns the node that owns the mailbox of an address.
func (r *boxRun) ownerOf(address string) (owner *faults.Node) {
	r.t.Helper()
	eventually(r.t, time.Minute, func() bool {
		s, err := r.Cluster.Status(r.ctx)
		if err != nil {
			return false
		}
		shards := shardsOf(s)
		for _, g := range shards {
			if *g.Shard == mailbox.Shard(address, len(shards)) {
				owner = r.Cluster.Named(g.Leader)
			}
		}
		return owner != nil
	}, func() string { return "nobody owns the mailbox of " + address })
	return owner
}

// tryLogin logs in and out again, and returns the answer to the password.
func tryLogin(t testing.TB, addr, user string) string {
	t.Helper()
	c := dialPOP3(t, addr, false)
	defer c.conn.Close()
	c.say("USER " + user)
	c.send("PASS " + popPassword)
	answer, err := c.in.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(answer, "+OK") {
		c.say("QUIT")
	}
	return strings.TrimSpace(answer)
}
