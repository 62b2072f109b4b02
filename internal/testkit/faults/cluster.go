package faults

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// Options of a Cluster.
type Options struct {
	Program  string // the postroad binary
	Dir      string // for everything of all nodes, on a real disk
	Nodes    int    // to begin with; more can join
	DNS      string // host:port
	Port     int    // that the nodes deliver to
	Replicas int    // 0: the program's default
	Shards   int    // of the mailboxes; 0: the program's default
	Grows    bool   // more will join, so that a single node has a cluster port too
	// the nodes have no list of those to join: `cluster token` and `cluster join` make them one
	// cluster
	ByHand bool
	POP3   bool // the nodes serve POP3, without TLS
	// Extra is further configuration, TOML, for all nodes; Limits and Delivery are further keys of
	// these tables.
	Extra, Limits, Delivery string
}

// Cluster is nodes on loopback addresses of their own and the network between them. One node is a
// cluster too: it has no cluster port, so that a program without clusters can run it. Its methods
// may be called on any goroutine.
type Cluster struct {
	Net *Net

	o     Options
	token string // path of the join token that all share

	mu struct {
		sync.Mutex
		nodes []*Node // by number, from 1; the retired ones too
	}
}

// New prepares a cluster; Start starts it.
func New(o Options) (*Cluster, error) {
	if o.Program == "" || o.Dir == "" || o.Nodes < 1 {
		return nil, errors.New("faults: a cluster needs a program, a folder and nodes")
	}
	c := &Cluster{Net: NewNet(), o: o, token: filepath.Join(o.Dir, "join-token")}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(c.token, []byte(newToken()+"\n"), 0o600); err != nil {
		return nil, err
	}
	for range o.Nodes {
		if _, err := c.place(); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	for _, n := range c.Nodes() {
		if err := c.configure(n, c.Nodes()); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// newToken makes a join token in the shape that the program makes them.
func newToken() string {
	var b [20]byte
	rand.Read(b[:])
	return "pr1-" +
		strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}

// Each node has an address of its own, and its proxy has one in the network after it: 127.0.0.11
// and 127.0.1.11 are the first ones. In long runs many come and go.
const (
	maxNodes  = 10_000
	perNet    = 200 // nodes in 127.0.0.0/24, and in each second network after it
	firstHost = 11
)

// place finds addresses for one more node and puts it on the network.
func (c *Cluster) place() (*Node, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := len(c.mu.nodes) + 1
	if k > maxNodes {
		return nil, fmt.Errorf("faults: more than %d nodes", maxNodes)
	}
	n := &Node{Number: k, Name: fmt.Sprintf("n%d", k)}
	n.mu.program = c.o.Program
	n.Dir = filepath.Join(c.o.Dir, n.Name)
	n.Config, n.Data = filepath.Join(n.Dir, "postroad.toml"), filepath.Join(n.Dir, "data")
	n.Events, n.FaultFile = filepath.Join(n.Dir, "events.jsonl"), filepath.Join(n.Dir, "fault")
	n.Host = hostOf(k)
	own, err := mailtest.FreeAddrs(n.Host.String(), 4)
	if err != nil {
		return nil, err
	}
	front, err := mailtest.FreeAddrs(frontOf(k).String(), 1)
	if err != nil {
		return nil, err
	}
	n.SMTP, n.Admin, n.Listen, n.POP3, n.Advertise = own[0], own[1], own[2], own[3], front[0]
	if err := os.MkdirAll(n.Dir, 0o755); err != nil {
		return nil, err
	}
	if err := c.Net.Join(k, n.Host, n.Advertise, n.Listen); err != nil {
		return nil, err
	}
	c.mu.nodes = append(c.mu.nodes, n)
	return n, nil
}

// hostOf returns the address of node k. A receiving server tells nodes apart by it.
func hostOf(k int) netip.Addr {
	k--
	return netip.AddrFrom4([4]byte{127, 0, byte(k / perNet * 2), byte(firstHost + k%perNet)})
}

// frontOf returns the address of the proxy before node k.
func frontOf(k int) netip.Addr {
	b := hostOf(k).As4()
	b[2]++
	return netip.AddrFrom4(b)
}

// numberOf is the node that has an address, 0 when none has.
func numberOf(a netip.Addr) int {
	if a = a.Unmap(); !a.Is4() {
		return 0
	}
	b := a.As4()
	k := int(b[2])/2*perNet + int(b[3]) - firstHost + 1
	if k < 1 || k > maxNodes || hostOf(k) != a {
		return 0
	}
	return k
}

// Nodes returns those that are not retired.
func (c *Cluster) Nodes() (nodes []*Node) {
	for _, n := range c.All() {
		if !n.Retired() {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// All returns the nodes that ever were.
func (c *Cluster) All() []*Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*Node(nil), c.mu.nodes...)
}

// Node returns node number k.
func (c *Cluster) Node(k int) *Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.nodes[k-1]
}

// Named returns the node with a name, nil when there is none.
func (c *Cluster) Named(name string) *Node {
	for _, n := range c.All() {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// Live returns the nodes whose processes run.
func (c *Cluster) Live() (nodes []*Node) {
	for _, n := range c.Nodes() {
		if n.Up() {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// Start starts all nodes and waits until each is ready and they are one cluster.
func (c *Cluster) Start(ctx context.Context) error {
	for _, n := range c.Nodes() {
		if err := n.Start(); err != nil {
			return err
		}
	}
	return c.AwaitWhole(ctx)
}

// AwaitReady waits until all nodes are ready.
func (c *Cluster) AwaitReady(ctx context.Context) error {
	for _, n := range c.Nodes() {
		if err := n.AwaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Add makes a node that joins through the living ones, and starts it. It is not ready yet.
func (c *Cluster) Add() (*Node, error) {
	through := c.Live()
	n, err := c.place()
	if err != nil {
		return nil, err
	}
	if err := c.configure(n, append(through, n)); err != nil {
		return nil, err
	}
	return n, n.Start()
}

// Close kills all nodes and ends the network. It leaves the folder.
func (c *Cluster) Close() error {
	for _, n := range c.All() {
		n.Kill()
	}
	c.Net.Close()
	return nil
}
