package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/datadir"
	"github.com/postroad/postroad/internal/files"
	"github.com/postroad/postroad/internal/version"
	"github.com/postroad/postroad/operate/admin"
	"github.com/postroad/postroad/operate/admin/api"
)

// How a node with an empty data directory becomes a member: by `postroad cluster join`, or by
// itself with a list of those that it may join. Each step can be repeated after a crash, and ends
// in one member: the cluster gives the same number to the same name and incarnation.

// joined is what a node was told when it joined.
type joined struct {
	Name        string            `json:"name"`   // under which it asked
	Member      uint16            `json:"member"` // 0: it has no answer yet
	Incarnation uint64            `json:"incarnation"`
	Members     map[uint16]string `json:"members,omitempty"` // addresses, until the control group tells
}

// readJoined returns nil when no join was begun, or one has ended long ago.
func readJoined(cfg *config.Config) (*joined, error) {
	file := filepath.Join(clusterDir(cfg), datadir.JoinedFile)
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	j := new(joined)
	if err := json.Unmarshal(b, j); err != nil {
		return nil, api.Permanent(fmt.Errorf(
			"%s is damaged: %w; empty %s and join again",
			file,
			err,
			cfg.Node.DataDir,
		))
	}
	return j, nil
}

func (j *joined) save(cfg *config.Config) error {
	b, err := json.Marshal(j)
	if err != nil {
		return err
	}
	if err := files.MakeDir(clusterDir(cfg)); err != nil {
		return err
	}
	return files.Replace(filepath.Join(clusterDir(cfg), datadir.JoinedFile), b)
}

// beginJoin returns who this node is in a join that is repeated, or in a new one. It is written
// down before the cluster hears of it.
func beginJoin(cfg *config.Config) (*joined, error) {
	j, err := readJoined(cfg)
	if err != nil || j != nil && (j.Name == cfg.Node.Name || j.Name == "") {
		return j, err
	}
	j = &joined{Name: cfg.Node.Name, Incarnation: rand.Uint64() | 1}
	return j, j.save(cfg)
}

// Join makes the empty data directory of cfg a member of the cluster that has a node at
// address.
func Join(ctx context.Context, cfg *config.Config, address, token string) error {
	if used, err := datadir.StoreExists(cfg.Node.DataDir); err != nil || used {
		return cmp.Or(
			err,
			api.Permanent(fmt.Errorf(
				"%s is in use already: only an empty data directory can join",
				cfg.Node.DataDir,
			)),
		)
	}
	if _, err := wire.LoadCredentials(clusterDir(cfg)); !errors.Is(err, fs.ErrNotExist) {
		return cmp.Or(
			damagedFile(err),
			api.Permanent(fmt.Errorf(
				"%s has joined a cluster already: start the node, or empty the directory",
				cfg.Node.DataDir,
			)),
		)
	}
	j, err := beginJoin(cfg)
	if err != nil {
		return err
	}
	csr, key, err := wire.NewRequest()
	if err != nil {
		return err
	}
	reply, err := wire.RequestJoin(ctx, address, token, wire.JoinRequest{
		Name: cfg.Node.Name, Advertise: cfg.Cluster.Advertise, Version: version.Version, Protocol: protocol, Incarnation: j.Incarnation, CSR: csr,
	}, member.DialFrom(cfg.Cluster.Listen))
	if errors.Is(err, wire.ErrJoinDenied) {
		// This incarnation is refused for good, as when another machine has joined under its name.
		// It never ran: the next try is a new one's. That a join was wanted stays: without it the
		// node would begin a cluster of its own, under a name that is taken.
		j.Incarnation = rand.Uint64() | 1
		return errors.Join(err, j.save(cfg))
	}
	if err != nil {
		return err
	}
	j.Name, j.Member, j.Members = cfg.Node.Name, reply.Member, reply.Members
	if err := j.save(cfg); err != nil {
		return err
	}
	// The certificate is what counts: it is written last.
	return wire.Credentials{CA: reply.CA, Cert: reply.Cert, Key: key}.Save(clusterDir(cfg))
}

// begins reports whether this node is the one that begins the cluster of cluster.join, when nobody
// there knows one.
func begins(cfg *config.Config) bool {
	return len(cfg.Cluster.Join) > 0 && cfg.Cluster.Join[0] == cfg.Cluster.Advertise
}

// joinByItself makes a node with an empty data directory a member of the cluster that the others of
// cluster.join know. The first of the list begins one instead when all others say that they know
// none; any may be told to by `postroad cluster init`. It tries until then: the others may be
// starting, or electing a leader. Who is refused for good gives up. A node without a list begins a
// cluster of its own. Who has a note that it was a member begins one only by an operator's word.
func (n *node) joinByItself(ctx context.Context) error {
	cfg := n.cfg
	used, err := datadir.StoreExists(cfg.Node.DataDir)
	_, credErr := wire.LoadCredentials(clusterDir(cfg))
	switch {
	case err != nil || used || credErr == nil:
		return err
	case !errors.Is(credErr, fs.ErrNotExist):
		return damagedFile(credErr)
	case len(cfg.Cluster.Join) == 0:
		if j, err := readJoined(cfg); j != nil || err != nil {
			return err // a join that did not end is told of by startStore
		}
		return member.NotesOf(n.file, cfg).MayBegin()
	}
	token, err := config.ReadSecret(cfg.Cluster.TokenFile)
	if err != nil {
		return fmt.Errorf("cluster.token_file: %w", err)
	}
	others := slices.DeleteFunc(
		slices.Clone(cfg.Cluster.Join),
		func(a string) bool { return a == cfg.Cluster.Advertise },
	)
	if begins(cfg) && len(others) == 0 {
		return member.NotesOf(n.file, cfg).MayBegin()
	}
	told, end, err := n.answerWhileWaiting(token)
	if err != nil {
		return err
	}
	defer end()
	return n.seek(ctx, others, token, told)
}

// seekPause is the time between two rounds of questions.
const seekPause = 200 * time.Millisecond

// seek asks the others, round after round, until this node is a member or is to begin. told: an
// operator has said that it is to begin.
func (n *node) seek(
	ctx context.Context,
	others []string,
	token string,
	told <-chan struct{},
) error {
	for logged := false; ; {
		found, err := n.question(ctx, others, token)
		for _, address := range found { // one of them may be cut off from the others
			if err = Join(ctx, n.cfg, address, token); err == nil {
				n.log.Logf("joined the cluster through %s", address)
				return nil
			}
			if errors.Is(err, wire.ErrJoinDenied) {
				return api.Permanent(err)
			}
		}
		if len(found) == 0 && err == nil {
			if err := member.NotesOf(n.file, n.cfg).MayBegin(); err != nil {
				return err // the list may be of others than its cluster's
			}
			n.log.Logf("none of the others in cluster.join knows a cluster: this node begins one")
			return files.Remove(
				filepath.Join(clusterDir(n.cfg), datadir.JoinedFile),
			) // of a cluster that nobody knows any more
		}
		n.waits.say("a cluster to join: %v", err)
		if !logged {
			logged = true
			n.log.Logf("joining: %v; trying again until it works", err)
		}
		select {
		case <-told:
			n.log.Logf("this node begins a cluster: an operator has said so")
			n.toldToBegin = true
			return errors.Join(
				member.NotesOf(n.file, n.cfg).Forget(),
				files.Remove(filepath.Join(clusterDir(n.cfg), datadir.JoinedFile)),
			)
		case <-ctx.Done():
			return fmt.Errorf(
				"no member of cluster.join lets this node in: %w (the last answer: %w)",
				ctx.Err(),
				err,
			)
		case <-time.After(seekPause):
		}
	}
}

// questionTime bounds one round of questions: who does not answer must not keep the others waiting.
const questionTime = 3 * time.Second

// question asks all others at the same time whether they know a cluster, and returns the addresses
// of those that do. Without any it returns nil when this node is to begin one, or why it has to
// wait.
func (n *node) question(
	ctx context.Context,
	others []string,
	token string,
) (found []string, wait error) {
	ctx, cancel := context.WithTimeout(ctx, questionTime)
	defer cancel()
	answers := make([]wire.Standing, len(others))
	errs := make([]error, len(others))
	var all sync.WaitGroup
	for i, address := range others {
		all.Go(
			func() {
				answers[i], errs[i] = wire.RequestStanding(ctx, address, token, member.DialFrom(n.cfg.Cluster.Listen))
			},
		)
	}
	all.Wait()
	var words []string
	for i, address := range others {
		switch {
		case errs[i] != nil:
			words = append(words, fmt.Sprintf("%s: %v", address, errs[i]))
		case answers[i].Cluster != "":
			found = append(found, address)
		}
	}
	switch {
	case len(found) > 0 || begins(n.cfg) && len(words) == 0:
		return found, nil
	case begins(n.cfg):
		return nil, fmt.Errorf(
			"this node is the first of cluster.join, and begins a cluster when all others have answered that they know none; "+
				"if there is none, `postroad cluster init` here begins one now (%s)",
			strings.Join(words, "; "),
		)
	}
	return nil, fmt.Errorf(
		"nobody in cluster.join knows one yet, and %s is to begin it (%s)",
		n.cfg.Cluster.Join[0],
		strings.Join(words, "; "),
	)
}

// answerWhileWaiting answers what others ask meanwhile: nodes on the cluster port whether this one
// knows a cluster, operators and probes on the administration's addresses. told has a value when an
// operator has said that this node is to begin a cluster.
func (n *node) answerWhileWaiting(token string) (told <-chan struct{}, end func(), err error) {
	l, err := net.Listen("tcp", n.cfg.Cluster.Listen)
	if err != nil {
		return nil, nil, fmt.Errorf("cluster.listen: %w", err)
	}
	port, err := wire.Wait(l, func() []string { return []string{token} }, n.log.Logf)
	if err != nil {
		return nil, nil, err
	}
	begin := make(chan struct{}, 1)
	desk, err := admin.StartWaiting(admin.Options{
		Socket: n.cfg.SocketPath(), Address: n.cfg.Admin.Address, Hosts: n.adminHosts(), Logf: n.log.Logf,
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
