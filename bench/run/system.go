package run

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/postroad/postroad/bench/measure"
	"github.com/postroad/postroad/bench/peers"
	"github.com/postroad/postroad/bench/report"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// system is a mail server, or several that are one system, under load.
type system interface {
	addrs() []string                 // where mail is to be sent, each node its part
	flush(ctx context.Context) error // tries now what waits for its next attempt
	members() int                    // how many disks keep each message
	stop()                           // asks it to end; what is left is killed with its group
	log() string                     // the end of what it wrote, for messages
}

// setting is what a system is to be started for.
type setting struct {
	point
	next    string   // host:port of the receiving server
	dns     string   // host:port of the name server
	domains []string // destinations; none: next is the only one
	dir     string   // empty, and open to every user
	under   []string // what it runs under
	program string   // this one
}

// info describes a system for the report; its error says why it cannot run.
func info(name, version string) (report.SystemInfo, error) {
	switch nodes, ours := nodesOf(name); {
	case ours && nodes == 1:
		return report.SystemInfo{Name: name,
			About: "one node with its defaults, event log on", Version: version}, nil
	case ours:
		return report.SystemInfo{Name: name,
			About: fmt.Sprintf("%d nodes on this machine that keep each message %d times",
				nodes, nodes), Version: version}, nil
	}
	kind, err := peers.KindOf(name)
	if err == nil {
		err = kind.Available()
	}
	if err != nil {
		return report.SystemInfo{Name: name}, err
	}
	return report.SystemInfo{Name: name, About: kind.About, Version: kind.Version()}, nil
}

// start starts a system in a group of its own. The group is to be closed even after an error.
func start(ctx context.Context, name string, s setting) (system, *measure.Group, error) {
	group := measure.NewGroup()
	s.under = append(group.Under(), s.under...)
	if nodes, ours := nodesOf(name); ours {
		c, err := startNodes(ctx, nodes, &s, group)
		return c, group, err
	}
	kind, err := peers.KindOf(name)
	if err != nil {
		return nil, group, err
	}
	listen, err := mailtest.FreeAddr("127.0.0.1")
	if err != nil {
		return nil, group, err
	}
	in, err := kind.Start(ctx, peers.Relay{Dir: s.dir, Listen: listen, Next: s.next,
		Domains: s.domains, Retry: s.Retry, Under: s.under})
	if err != nil {
		return nil, group, err
	}
	group.Add(in.PIDs()[0])
	return &peer{kind, in}, group, nil
}

// peer is somebody else's server.
type peer struct {
	kind peers.Kind
	in   *peers.Instance
}

func (p *peer) addrs() []string             { return []string{p.in.Addr} }
func (p *peer) flush(context.Context) error { return p.kind.Flush(p.in) }
func (p *peer) members() int                { return 1 }

// its group ends it at once: its queue is of no more use
func (p *peer) stop() {}
func (p *peer) log() string {
	if p.in.Log == "" {
		return ""
	}
	out, _ := exec.Command("tail", "-n", "5", p.in.Log).Output()
	return string(out)
}

// folder makes an empty folder below dir that every user may enter: Postfix's processes are another
// user's.
func folder(dir, pattern string) (string, error) {
	made, err := os.MkdirTemp(dir, pattern)
	if err != nil {
		return "", err
	}
	return filepath.Clean(made), os.Chmod(made, 0o755)
}
