package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/cluster/token"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/datadir"
	"github.com/postroad/postroad/operate/admin/api"
)

// A node's identity among the members of its cluster is in its data directory:
// cluster/{ca,cert,key}.pem, and cluster/joined.json from the join until the store has been made. A
// node that never joined is member 1 of a cluster of its own; until that is written down in its
// control group it keeps the authority's key in cluster/authority.pem.

// protocol is what this build understands.
const protocol = control.Protocol

func clusterDir(cfg *config.Config) string { return datadir.Cluster(cfg.Node.DataDir) }

func (n *node) startStore(ctx context.Context) error {
	used, err := datadir.StoreExists(n.cfg().Node.DataDir)
	if err != nil {
		return err
	}
	creds, err := wire.LoadCredentials(clusterDir(n.cfg()))
	isMember := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return damagedFile(err)
	}
	if n.joined, err = member.ReadJoined(n.cfg().Node.DataDir); err != nil {
		return err
	}
	o := cluster.Options{
		Dir: n.cfg().Node.DataDir, Logf: n.log.Logf, OnFailure: n.failed,
		OnSlowDisk: func(what string) { n.log.Errorf("slow disk: %s", what) },
		OnFull:     n.pressure.makeRoom,
	}
	switch {
	case isMember && (!used || n.joined != nil): // with both, the store may not have been finished
		id, err := creds.Identity()
		if err != nil {
			return err
		}
		if n.joined == nil {
			return api.Permanent(
				fmt.Errorf(
					"%s has a certificate of member %d but its store is gone, and a member that "+
						"forgot its votes is dangerous: "+
						"empty the directory, join under another name, and run `postroad cluster "+
						"replace %s NEW`", n.cfg().Node.DataDir, id.Member, n.cfg().Node.Name))
		}
		name := cmp.Or(n.joined.Name, n.cfg().Node.Name)
		if err := misnamed(n.cfg(), name, id.Member); err != nil {
			return api.Permanent(err)
		}
		o.Member, o.Incarnation = id.Member, id.Incarnation
	case !isMember && n.joined != nil:
		return api.Permanent(
			fmt.Errorf(
				"a `postroad cluster join` of %s was begun, and it is no member yet: repeat it; "+
					"or remove %s, and the node begins a cluster of its own",
				n.cfg().Node.DataDir, filepath.Join(clusterDir(n.cfg()), datadir.JoinedFile)))
	}
	if n.store, err = cluster.Open(faulty(o)); err != nil {
		return err
	}
	n.onStop("store", n.closeStore)
	if err := takenBack(n.store); err != nil {
		return err
	}
	if n.toldToBegin {
		if err := n.store.OpenUp(); err != nil {
			return err
		}
	}
	if !isMember {
		if creds, err = n.beginCluster(); err != nil {
			return err
		}
	}
	return n.connect(creds)
}

// beginCluster makes the authority and the credentials of a cluster of one.
func (n *node) beginCluster() (c wire.Credentials, err error) {
	if n.store.Member() != 1 {
		return c, api.Permanent(
			fmt.Errorf("this store is of member %d of a cluster, but %s has no credentials: "+
				"put them back from a backup; without one, empty the data directory, join anew "+
				"under another "+
				"name, and run `postroad cluster replace %s NEW`",
				n.store.Member(), clusterDir(n.cfg()), n.cfg().Node.Name))
	}
	return wire.Begin(clusterDir(n.cfg()), n.store.Incarnation())
}

// connect makes the port; it listens once that is wanted (listenCluster).
func (n *node) connect(creds wire.Credentials) (err error) {
	if n.self, err = creds.Identity(); err != nil {
		return err
	}
	if n.key, err = creds.PublicKey(); err != nil {
		return err
	}
	if n.self.Member != n.store.Member() || n.self.Incarnation != n.store.Incarnation() {
		return api.Permanent(
			fmt.Errorf(
				"the certificate in %s is of %v, but the store is of member %d with another "+
					"disk: they do not belong together; "+
					"put back what was there, or empty the data directory and join anew",
				clusterDir(n.cfg()),
				n.self, n.store.Member()))
	}
	n.control = control.New()
	if n.addresses, err = member.OpenAddresses(clusterDir(n.cfg())); err != nil {
		return err
	}
	if n.joined != nil {
		if err := n.addresses.Keep(n.joined.Members); err != nil {
			return err
		}
	}
	told, err := member.ReadTold(n.cfg().Node.DataDir)
	if err != nil {
		return err
	}
	n.gate = member.NewGatekeeper(member.GatekeeperOptions{
		Self: n.self.Member, State: n.control, Ask: n.store.Ask, Ctx: n.background,
		Told: told,
		Keep: func(known []wire.KnownMember) error {
			return member.KeepTold(n.cfg().Node.DataDir, known)
		},
		Fresh: n.store.Group(cluster.ControlGroup).Fresh, Errorf: n.log.Errorf,
	})
	n.port, err = wire.New(wire.Options{
		Credentials: creds, Self: n.self, Address: n.addressOf, Admit: n.gate.Admit,
		Join: n.admitNode, Standing: n.standing, Claimed: n.claimed,
		Verifiers: func() []token.Verifier { return n.control.Verifiers(time.Now()) },
		Secrets:   func() []string { return n.control.Secrets(time.Now()) },
		Refuses: func(r wire.JoinRequest) error {
			return n.control.Spent(r.With, r.Incarnation)
		},
		Dial: member.DialFrom(n.cfg().Cluster.Listen), Logf: n.log.Logf,
	})
	if err != nil {
		return err
	}
	n.onStop("cluster port", func(context.Context) error { return n.port.Close() })
	n.store.Connect(n.port)
	return nil
}

// addressOf finds a member: in the control state while that is known to be new, else where it was
// last.
func (n *node) addressOf(id uint16) (string, bool) {
	return n.addresses.Find(id, n.control, n.store.Group(cluster.ControlGroup).Fresh())
}

// admitNode answers a node that joins: it gets its number and its certificate.
func (n *node) admitNode(ctx context.Context, r wire.JoinRequest) (wire.JoinReply, error) {
	known, _ := n.control.MemberByName(r.Name) // a join that is repeated
	if err := n.locator.CheckFree(ctx, r.Advertise, known.ID); err != nil {
		return wire.JoinReply{}, err
	}
	key, err := wire.RequestedKey(r.CSR)
	if err != nil {
		return wire.JoinReply{}, err
	}
	m, err := n.changes.Join(ctx, control.Node{
		Name: r.Name, Address: r.Advertise, Incarnation: r.Incarnation, Version: r.Version,
		Protocol: r.Protocol, Key: key,
	}, r.With)
	if err != nil {
		if !errors.Is(err, control.ErrInvalid) {
			err = fmt.Errorf("%w: %w", wire.ErrNotNow, err) // an election, for one
		}
		return wire.JoinReply{}, err
	}
	n.notes.Keep() // from now on it has another member
	caCert, caKey := n.control.Authority()
	id := wire.Identity{Cluster: n.self.Cluster, Member: m.ID, Incarnation: r.Incarnation}
	cert, err := wire.Sign(caCert, caKey, r.CSR, id)
	if err != nil {
		return wire.JoinReply{}, err
	}
	reply := wire.JoinReply{Cluster: id.Cluster, Member: m.ID, CA: caCert, Cert: cert,
		Members: map[uint16]string{}}
	if known.ID != 0 && known.ID != m.ID {
		reply.Instead = known.ID
		n.log.Errorf("%s had joined from %s as member %d, and never ran: that counts no more, and "+
			"what was made there is refused", known.Name, known.Address, known.ID)
	}
	for _, m := range n.control.Members() {
		reply.Members[m.ID] = m.Address
		reply.Known = append(reply.Known, wire.KnownMember{ID: m.ID, Incarnation: m.Incarnation,
			Key: m.Key})
	}
	n.log.Logf("%s joins from %s as member %d", m.Name, m.Address, m.ID)
	return reply, nil
}
