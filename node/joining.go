package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"

	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/datadir"
	"github.com/postroad/postroad/operate/admin"
)

// joinerOf is the node of a configuration as one that joins.
func joinerOf(
	file string, cfg *config.Config, token string, say func(string, ...any),
) member.Joiner {
	return member.Joiner{
		Say:     say,
		DataDir: cfg.Node.DataDir, Name: cfg.Node.Name, Advertise: cfg.Cluster.Advertise,
		Token: token,
		Dial:  member.DialFrom(cfg.Cluster.Listen),
		Prepare: func(s wire.Standing) error {
			return takeBefore(file, cfg.Node.DataDir, s.Config)
		},
	}
}

// Join makes the empty data directory of cfg, which is in file, a member of the cluster that has a
// node at address. say hears what the operator should know of it.
func Join(
	ctx context.Context, file string, cfg *config.Config, address, token string,
	say func(format string, args ...any),
) error {
	return joinerOf(file, cfg, token, say).Join(ctx, address)
}

// joinByItself makes a node with an empty data directory a member of the cluster that the others of
// cluster.join know. The first of the list begins one instead when all others say that they know
// none; any may be told to by `postroad cluster init`. It tries until then: the others may be
// starting, or electing a leader. Who is refused for good gives up. A node without a list begins a
// cluster of its own. Who has a note that it was a member begins one only by an operator's word.
func (n *node) joinByItself(ctx context.Context) error {
	cfg := n.cfg()
	used, err := datadir.StoreExists(cfg.Node.DataDir)
	_, credErr := wire.LoadCredentials(clusterDir(cfg))
	switch {
	case err != nil || used || credErr == nil:
		return err
	case !errors.Is(credErr, fs.ErrNotExist):
		return damagedFile(credErr)
	case len(cfg.Cluster.Join) == 0:
		if j, err := member.ReadJoined(cfg.Node.DataDir); j != nil || err != nil {
			return err // a join that did not end is told of by startStore
		}
		return member.NotesOf(n.file, cfg).MayBegin()
	}
	token, err := config.ReadSecret(cfg.Cluster.TokenFile)
	if err != nil {
		return fmt.Errorf("cluster.token_file: %w", err)
	}
	joiner := joinerOf(n.file, cfg, token, n.log.Logf)
	seeker := member.Seeker{
		Listed: cfg.Cluster.Join, Advertise: cfg.Cluster.Advertise, DataDir: cfg.Node.DataDir,
		Notes: member.NotesOf(n.file, cfg), Standing: joiner.Standing, Join: joiner.Join,
		Waits: n.waits.say, Logf: n.log.Logf,
	}
	if seeker.Begins() && len(seeker.Others()) == 0 {
		return member.NotesOf(n.file, cfg).MayBegin()
	}
	told, end, err := n.answerWhileWaiting(token)
	if err != nil {
		return err
	}
	defer end()
	seeker.Told = told
	if n.toldToBegin, err = seeker.Seek(ctx); err != nil {
		return err
	}
	return n.takeKept()
}

// answerWhileWaiting answers what others ask meanwhile: nodes on the cluster port whether this one
// knows a cluster, operators and probes on the administration's addresses. told has a value when an
// operator has said that this node is to begin a cluster.
func (n *node) answerWhileWaiting(token string) (told <-chan struct{}, end func(), err error) {
	l, err := net.Listen("tcp", n.cfg().Cluster.Listen)
	if err != nil {
		return nil, nil, fmt.Errorf("cluster.listen: %w", err)
	}
	port, err := wire.Wait(l, func() []string { return []string{token} }, n.log.Logf)
	if err != nil {
		return nil, nil, err
	}
	group, err := n.cfg().SocketGroup()
	if err != nil {
		return nil, nil, errors.Join(err, port.Close())
	}
	begin := make(chan struct{}, 1)
	desk, err := admin.StartWaiting(admin.Options{
		Socket: n.cfg().SocketPath(), Group: group, Address: n.cfg().Admin.Address,
		Settings: admin.Settings{Hosts: adminHosts(n.cfg())}, Logf: n.log.Logf,
	}, func() string { return n.waits.now() }, func() {
		select {
		case begin <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return nil, nil, errors.Join(err, port.Close())
	}
	return begin, func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := errors.Join(desk.Shutdown(ctx), port.Close()); err != nil {
			n.log.Logf("%v", err)
		}
	}, nil
}
