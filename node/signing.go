package node

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/cluster/secret"
	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/datadir"
	"github.com/postroad/postroad/internal/dns"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/telemetry"
	"github.com/postroad/postroad/policy"
	"github.com/postroad/postroad/signing"
)

// openSecrets makes what seals and opens the secrets of the state. The node's own key lies in the
// directory of the cluster, or among the credentials that systemd hands over (systemd.exec(5)).
func (n *node) openSecrets() error {
	path := filepath.Join(clusterDir(n.cfg()), datadir.SealKeyFile)
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		given := filepath.Join(dir, "postroad."+datadir.SealKeyFile)
		if _, err := os.Stat(given); err == nil {
			path = given
		}
	}
	self, err := secret.OpenIdentity(path)
	if err != nil {
		return err
	}
	n.secrets = new(secret.Ring)
	group := n.store.Group(cluster.ControlGroup)
	n.keeper = secret.NewKeeper(secret.Options{
		Member: n.self.Member, Incarnation: n.store.Incarnation(), Identity: self, Ring: n.secrets,
		State: n.control, Changes: n.changes, Logf: n.log.Logf,
		Leads: func() bool { return group.Leading() != 0 && group.Fresh() },
		Reseal: func(ctx context.Context) (bool, error) {
			return signing.Reseal(ctx, n.editor, n.secrets, secret.Epoch)
		},
	})
	n.keyLife = n.newKeyLife()
	return nil
}

// newKeyLife makes what takes signing keys through their lives.
func (n *node) newKeyLife() *signing.Life {
	return &signing.Life{
		Editor: n.editor, Sealer: n.secrets, Now: time.Now, Logf: n.log.Logf,
		Texts: func(ctx context.Context, name string) dns.Answer {
			return n.resolver.Texts(ctx, name)
		},
		Expire: func() time.Duration { return time.Duration(n.cfg().Retry.Expire) },
	}
}

// secretWatch does what the cluster's key and the signing keys take, in each round of the
// reconciler.
type secretWatch struct {
	n      *node
	looked time.Time              // at signing keys
	next   atomic.Pointer[string] // after which key to go on; nil: from the first one
	busy   atomic.Bool            // keys are being looked at
}

// keysEvery is how often signing keys are looked at, some at a time: whether DNS has the records of
// new ones, and whether the time of old ones is over.
const keysEvery = 20 * time.Second

func (s *secretWatch) look(ctx context.Context, do member.Do) {
	if w := s.n.keeper.Round(time.Now()); w != nil {
		do(cluster.ControlGroup, w.What, func() error { return w.Do(ctx) })
		return
	}
	group := s.n.store.Group(cluster.ControlGroup)
	if time.Since(s.looked) < keysEvery || group.Leading() == 0 || !group.Fresh() ||
		!s.n.users.HasKeys() {
		return
	}
	s.looked = time.Now()
	after := ""
	if next := s.next.Load(); next != nil {
		after = *next
	}
	// Beside the work for groups: DNS may take its time, and the control group's plans do not wait.
	if s.busy.Swap(true) {
		return
	}
	go func() {
		defer s.busy.Store(false)
		next, err := s.n.keyLife.Advance(ctx, after)
		s.next.Store(&next)
		if err != nil && ctx.Err() == nil {
			s.n.log.Logf("looking at signing keys: %v", err)
		}
	}()
}

// signingBook is what a Signer asks, of the policy and of the directory.
type signingBook struct {
	*policy.Policy
	keys *directory.Directory
}

func (b signingBook) KeysOf(domain string) []*directory.SigningKey { return b.keys.KeysOf(domain) }

// newSigner makes what signs mail before next takes it.
func (n *node) newSigner(next signing.Submitter) signing.Submitter {
	n.signer = signing.New(signing.Options{
		Book: signingBook{n.policy, n.users}, Open: n.secrets.Open, Next: next,
		Unsigned: func(domain string, why error) {
			n.log.Errorf("a message of %s goes without a signature: %v", domain, why)
		},
	})
	n.onStop("signatures", func(context.Context) error { n.signer.Close(); return nil })
	return n.signer
}

// watch returns what reads a message that may get a signature while it arrives; nil: it gets none.
func (n *node) watch(o *mail.Origin) mail.Watcher {
	if !n.users.HasKeys() || !n.policy.HasRight(o) {
		return nil
	}
	return signing.NewDraft()
}

func (n *node) observeSigning(o telemetry.Observer) {
	s := n.signer.Stats()
	o.Counter("signed_total", "messages that got a signature", s.Signed)
	o.Counter("unsigned_total", "messages that should have had a signature, and went without one",
		s.Unsigned)
	o.Counter("busy_total", "messages put off because too many waited for a signature", s.Busy)
}
