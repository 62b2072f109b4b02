package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// configure writes a node's configuration. members are those through which it may join; the first
// begins the cluster when nobody has data.
func (c *Cluster) configure(n *Node, members []*Node) error {
	var b strings.Builder
	fmt.Fprintf(&b, "[node]\nname = %q\nhostname = \"%s.postroad.test\"\ndata_dir = %q\n", n.Name,
		n.Name, n.Data)
	fmt.Fprintf(&b,
		"[[listener]]\naddress = %q\nkind = \"relay\"\n[relay]\nnetworks = [\"127.0.0.0/8\"]\n",
		n.SMTP)
	if c.o.POP3 {
		fmt.Fprintf(&b, "[[listener]]\naddress = %q\nkind = \"pop3\"\nauth_without_tls = true\n",
			n.POP3)
	}
	fmt.Fprintf(&b, "[delivery]\nport = %d\nbind = [%q]\nallow_private_destinations = true\n%s\n",
		c.o.Port, n.Host.String(), c.o.Delivery)
	fmt.Fprintf(&b, "[limits]\n%s\n[admin]\naddress = %q\n[events]\nfile = %q\n", c.o.Limits,
		n.Admin, n.Events)
	if c.o.DNS != "" {
		fmt.Fprintf(&b, "[dns]\nservers = [%q]\n", c.o.DNS)
	}
	if c.o.Nodes > 1 || c.o.Grows {
		b.WriteString(c.clusterTable(n, members))
	}
	b.WriteString(c.o.Extra)
	return os.WriteFile(n.Config, []byte(b.String()), 0o600)
}

func (c *Cluster) clusterTable(n *Node, members []*Node) string {
	var join []string
	for _, m := range members {
		join = append(join, fmt.Sprintf("%q", m.Advertise))
	}
	s := fmt.Sprintf("[cluster]\nlisten = %q\nadvertise = %q\n", n.Listen, n.Advertise)
	if !c.o.ByHand {
		s += fmt.Sprintf("join = [%s]\ntoken_file = %q\n", strings.Join(join, ", "), c.token)
	}
	if c.o.Replicas > 0 {
		s += fmt.Sprintf("replicas = %d\n", c.o.Replicas)
	}
	if c.o.Shards > 0 {
		s += fmt.Sprintf("mailbox_shards = %d\n", c.o.Shards)
	}
	return s
}

// ErrNoClusters says that a program cannot run more than one node.
var ErrNoClusters = errors.New(
	"this program does not know clusters: `postroad config check` refuses [cluster] join")

// Clusters reports whether program can run a cluster, by asking it to check a configuration that
// has one.
func Clusters(ctx context.Context, program string) error {
	dir, err := os.MkdirTemp("", "postroad-probe-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	token, file := filepath.Join(dir, "token"), filepath.Join(dir, "postroad.toml")
	text := fmt.Sprintf(
		"[node]\ndata_dir = %q\n[cluster]\nlisten = \"127.0.0.11:7025\"\njoin = "+
			"[\"127.0.0.11:7025\"]\ntoken_file = %q\n",
		filepath.Join(dir, "data"), token)
	if err := errors.Join(os.WriteFile(token, []byte(newToken()+"\n"), 0o600),
		os.WriteFile(file, []byte(text), 0o600)); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, program, "config", "check", "--config",
		file).CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return fmt.Errorf("%w (%s)", ErrNoClusters, strings.TrimSpace(string(out)))
	}
	return err
}
