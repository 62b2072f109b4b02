package node

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/rows"
	"github.com/postroad/postroad/node/internal/controlgroup"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/policy"
)

// startControl starts the control group, which holds members, groups and users.
func (n *node) startControl(ctx context.Context) error {
	n.users = directory.New()
	group := n.store.Group(cluster.ControlGroup)
	proposer := rows.ProposerFunc(group.Forward)
	n.editor = &directory.Editor{Directory: n.users, Proposer: proposer, Now: time.Now,
		Allows: func() error {
			return n.control.Needs(control.MailboxProtocol, "that")
		}, AllowsKeys: func() error {
			return n.control.Needs(control.SecretsProtocol, "a signing key")
		}, Kept: n.keptByAll}
	n.detector = n.newDetector()
	n.notes = n.newNoteKeeper(group)
	n.changes = &control.Editor{State: n.control, Proposer: proposer, Now: time.Now,
		Reachable: n.detector.Reachable, Patience: 10 * time.Second}
	n.suspender = &control.Editor{
		State: n.control, Proposer: proposer, Now: clock.NewSteady(time.Time{}).Now,
	}
	if err := n.openSecrets(); err != nil {
		return err
	}
	n.locator = n.newLocator(group)
	n.operator = n.newOperator(group)
	// The rows may say already that this node must not take part. The log may say more.
	if err := n.control.Load(group); err != nil {
		return err
	}
	if err := n.mayTakePart(); err != nil {
		return api.Permanent(err)
	}
	if n.joined == nil { // else its note may be of a cluster in which it was before
		if err := member.NotesOf(n.file, n.cfg()).MayGoOn(n.self, n.store); err != nil {
			return err
		}
	}
	if err := n.startControlGroup(ctx, group); err != nil {
		return err
	}
	if n.hadOthers() {
		n.notes.Keep() // before it counts as one that has joined long ago
	}
	if err := n.users.Load(group); err != nil {
		return err
	}
	if err := n.writeDownCluster(ctx); err != nil {
		return err
	}
	if err := n.recoverPushed(); err != nil {
		return err
	}
	if err := n.startLogins(); err != nil {
		return err
	}
	n.startPort()
	if n.wantsPort() {
		return n.listenCluster(ctx)
	}
	return nil
}

func (n *node) startControlGroup(ctx context.Context, group *cluster.Group) error {
	machine := controlgroup.Machine{Control: n.control, Users: n.users}
	if n.self.Member != 1 {
		return group.Join(machine, nil)
	}
	leading := make(chan struct{}, 1)
	err := group.Start(machine, func(term uint64) {
		if term != 0 {
			select {
			case leading <- struct{}{}:
			default:
			}
		}
	})
	if err != nil || !n.decidesAlone() {
		return err
	}
	n.waits.say(
		"the control group, of which this node is the only voter, to be led: it applies what is " +
			"in the log")
	select {
	case <-leading:
		return nil
	case err := <-n.fatal:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the control group has no leader: %w", ctx.Err())
	}
}

// decidesAlone reports whether this node is the only voter of the control group, by what is in its
// log. Once such a node leads, it has applied all that was ever acknowledged. With other voters the
// rows may be older than that until there is a leader, and nothing is decided by them.
func (n *node) decidesAlone() bool {
	voters := n.store.Group(cluster.ControlGroup).Members().Voters
	return len(voters) == 1 && voters[0] == n.self.Member
}

// writeDownCluster makes the control group of a node that has just begun know its cluster.
func (n *node) writeDownCluster(ctx context.Context) error {
	dir := n.cfg().Node.DataDir
	// With other voters the cluster was written down long ago.
	if _, known := n.control.Cluster(); !known && n.self.Member == 1 && n.decidesAlone() {
		if err := controlgroup.WriteDown(ctx, dir, n.cfg().Node.Name, n.changes); err != nil {
			return err
		}
	}
	return controlgroup.WrittenDown(dir)
}

func (n *node) startLogins() (err error) {
	n.boxes = n.newRouter()
	events := n.policyEvents()
	if n.policy,
		err = policy.New(policy.Options{Rules: rulesOf(n.cfg()), Users: n.users, Room: n.boxes.Room,
		Current: n.knowsPeople, Events: events}); err != nil {
		return err
	}
	n.editor.Local = n.policy.Local
	secret, err := keptSecret(filepath.Join(n.cfg().Node.DataDir, "scram.secret"))
	if err != nil {
		return err
	}
	list, err := outsideOf(n.cfg().LDAP)
	if err != nil {
		return err
	}
	n.outside.Store(list)
	n.auth, err = policy.NewAuth(policy.AuthOptions{
		Users: n.users, Events: events, Trusted: n.trusts, Current: n.knowsPeople,
		ScramSecret: func() []byte { return n.scramSecret(secret) }, ScramForms: n.users.Forms,
		Outside: n.checkOutside, Named: n.named,
	})
	if err != nil {
		return err
	}
	n.onStop("log-ins", func(context.Context) error { n.auth.Close(); return nil })
	return nil
}

// wantsPort reports whether other nodes are to reach this one: it has joined, has a list of nodes
// to join, was opened up by `cluster init` or `cluster token`, or had others beside it. Only a node
// that never had any has rows that tell, too: those of a program that did not note it.
func (n *node) wantsPort() bool {
	if n.self.Member != 1 || n.mayBeClaimed() || len(n.cfg().Cluster.Join) > 0 ||
		n.store.OpenedUp() || n.store.HasPeers() {
		return true
	}
	m, ok := n.control.Member(1)
	return ok && m.Address != ""
}

// startPort answers what other members ask over the port.
func (n *node) startPort() {
	mux := http.NewServeMux()
	mux.Handle("/cluster/", n.store.Handler())
	n.peerRoutes(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if a := n.admin.Load(); a != nil {
			a.PeerHandler().ServeHTTP(w, r)
			return
		}
		http.Error(w, "starting", http.StatusServiceUnavailable)
	})
	srv := &http.Server{Handler: mux, ConnContext: wire.ConnContext,
		ReadHeaderTimeout: 10 * time.Second}
	go srv.Serve(n.port.HTTP())
	n.onStop("requests of other members", func(context.Context) error { return srv.Close() })
}

// listenCluster opens the port, and says in the control state where it is.
func (n *node) listenCluster(ctx context.Context) error {
	n.listen.Lock()
	defer n.listen.Unlock()
	if !n.listens.Load() {
		l, err := net.Listen("tcp", n.cfg().Cluster.Listen)
		if err != nil {
			return fmt.Errorf("cluster.listen: %w", err)
		}
		n.port.Serve(l)
		n.listens.Store(true)
		n.log.Logf("other members reach this node on %s", n.cfg().Cluster.Advertise)
	}
	if !n.decidesAlone() {
		return nil // the reconciler says so, once there is a leader
	}
	if m, ok := n.control.Member(n.self.Member); !ok {
		return nil
	} else if m.Address != n.cfg().Cluster.Advertise {
		if err := n.locator.SetAddress(ctx, m.ID, n.cfg().Cluster.Advertise); err != nil {
			return err
		}
	}
	if len(n.cfg().Cluster.Join) == 0 {
		return nil
	}
	token, err := config.ReadSecret(n.cfg().Cluster.TokenFile)
	if err != nil {
		return fmt.Errorf("cluster.token_file: %w", err)
	}
	return n.changes.AddSecret(ctx, token, 0)
}
