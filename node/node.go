// Package node is a running node: it builds the parts, connects them, starts and stops them, and
// reloads the configuration. It is the only place that knows which concrete parts work together.
// Package offline has what is done to a node's data directory while the node does not run.
package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/cluster/owner"
	"github.com/postroad/postroad/cluster/secret"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/local"
	"github.com/postroad/postroad/delivery/mx"
	"github.com/postroad/postroad/delivery/share"
	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/certs"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/eventloop"
	"github.com/postroad/postroad/internal/files"
	"github.com/postroad/postroad/internal/inbound"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/sdnotify"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/internal/telemetry"
	"github.com/postroad/postroad/internal/version"
	"github.com/postroad/postroad/mailbox/pop3"
	"github.com/postroad/postroad/mailbox/router"
	"github.com/postroad/postroad/node/internal/peer"
	"github.com/postroad/postroad/node/internal/reserve"
	"github.com/postroad/postroad/node/internal/survey"
	"github.com/postroad/postroad/node/operator"
	"github.com/postroad/postroad/operate/admin"
	"github.com/postroad/postroad/policy"
	"github.com/postroad/postroad/signing"
	"github.com/postroad/postroad/smtpd"
)

// node is a running node: the parts and what ends them, in the order in which they were started. A
// part is started when those that it needs run, and ended before them.
type node struct {
	live    atomic.Pointer[config.Config] // the configuration in force: see cfg
	reloads chan chan reloaded            // asked of serve
	file    string                        // the configuration file, "" for the embedded default
	pushed  pushed

	log       *maillog.Log
	telemetry *telemetry.Telemetry
	durations durations
	survey    survey.Survey
	reloading reloadStats
	budget    *mail.Budget
	pressure  *pressure
	addresses *member.AddressBook
	// until the control group is known; nil: this node never joined, or did long ago
	joined    *member.Joined
	self      wire.Identity
	key       string // its public key, by which the others know it
	gate      *member.Gatekeeper
	store     *cluster.Node
	port      *wire.Port
	strangers strangers
	notes     *member.NoteKeeper
	listen    sync.Mutex
	listens   atomic.Bool // the port is open to others; set under listen
	detector  *member.Detector[peer.Report]
	control   *control.State
	changes   *control.Editor
	// of suspensions, whose times take no notice of steps of the wall clock
	suspender *control.Editor
	users     *directory.Directory
	editor    *directory.Editor
	locator   *member.Locator
	operator  *operator.Operator
	queues    owner.Set[*holding]
	shards    owner.Set[*shard]
	boxes     *router.Router
	local     *local.Store            // mail for the mailboxes
	home      atomic.Pointer[holding] // the queue for this node's own mail
	ids       *mail.IDs
	grantor   *share.Grantor
	inquiry   *inquiry
	holders   share.Present // of shares, on this node
	resolver  *mx.Resolver
	outgoing  outgoing
	outside   atomic.Pointer[outsideList]
	relook    chan struct{}  // outside has changed; room for one
	secrets   *secret.Ring   // the cluster's key
	keeper    *secret.Keeper // of that key
	keyLife   *signing.Life
	signer    *signing.Signer
	policy    *policy.Policy
	auth      *policy.Auth
	cert      *certs.Certificates
	engine    *eventloop.Engine
	smtp      *smtpd.Server
	pop3      *pop3.Server
	listeners map[string]*eventloop.Listener // by address; of the start, then of serve
	admin     atomic.Pointer[admin.Server]

	reconciler  *member.Reconciler
	background  context.Context // ends when the node stops
	cancel      context.CancelFunc
	enders      []ender
	service     *sdnotify.Manager
	toldToBegin bool       // by an operator, while it waited to join
	waits       *waits     // of the start
	fatal       chan error // a part cannot go on
	// the cluster will not have this node, and it has said so for long enough
	leave chan error
	out   atomic.Pointer[error] // why the cluster will not have this node; nil: it will
}

// ender ends one part.
type ender struct {
	what string
	end  func(context.Context) error
}

// startNode starts a node; the parts are started from the disk outwards, so that mail is taken only
// when it can be kept and delivered. What needs this node alone is bounded (startTimeout). What
// needs others takes as long as they do, and the node says what it waits for. After an error, or
// when ctx ends, everything that had been started is ended again.
func startNode(ctx context.Context, file string, cfg *config.Config) (*node, error) {
	n := &node{file: file, fatal: make(chan error, 1), leave: make(chan error, 1),
		reloads: make(chan chan reloaded), relook: make(chan struct{}, 1),
		listeners: map[string]*eventloop.Listener{}}
	n.live.Store(cfg)
	n.background, n.cancel = context.WithCancel(context.Background())
	n.strangers.told = map[uint16]time.Time{}
	n.service = sdnotify.FromEnvironment()
	said, end := context.WithCancel(n.background)
	defer end()
	for _, step := range []struct {
		what  string
		start func(context.Context) error
		limit time.Duration // 0: none
	}{
		{"pushed configuration", n.startPushed, startTimeout},
		{"data directory", n.startData, startTimeout},
		{"log", func(context.Context) error { return n.startLog(said) }, startTimeout},
		{"disk", n.startDisk, startTimeout},
		{"telemetry", n.startTelemetry, startTimeout},
		{"membership", n.joinByItself, 0},
		{"store", n.startStore, startTimeout},
		{"control group", n.startControl, startTimeout},
		{"delivery", n.startDelivery, startTimeout},
		{"queues", n.startQueues, startTimeout},
		{"SMTP", n.startSMTP, startTimeout},
		{"POP3", n.startPOP3, startTimeout},
		{"memory", n.startMemory, startTimeout},
		{"administration", n.startAdmin, startTimeout},
	} {
		n.waits.say("its %s", step.what)
		ended, err := n.within(ctx, step.limit, step.start)
		if err == nil {
			continue
		}
		err = n.damaged(fmt.Errorf("starting %s: %w", step.what, err))
		if !ended {
			return nil, err // the process ends
		}
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return nil, errors.Join(err, n.stop(stopping))
	}
	return n, nil
}

// cfg returns the configuration in force. Nobody changes it; a reload puts another in its place. So
// what belongs together is read from one of them.
func (n *node) cfg() *config.Config { return n.live.Load() }

// trusts reports whether a client is in relay.networks, as they are now.
func (n *node) trusts(client netip.Addr) bool { return n.cfg().Relay.Networks.Contains(client) }

// onStop notes how a part ends. Parts end in reverse order.
func (n *node) onStop(what string, end func(context.Context) error) {
	n.enders = append(n.enders, ender{what, end})
}

// stop ends the node in good order: it takes no more mail, finishes what is under way until ctx
// ends, and closes the store.
func (n *node) stop(ctx context.Context) error {
	n.cancel()
	var all error
	for i := len(n.enders) - 1; i >= 0; i-- {
		if err := n.enders[i].end(ctx); err != nil {
			all = errors.Join(all, fmt.Errorf("stopping %s: %w", n.enders[i].what, err))
		}
	}
	n.enders = nil
	return all
}

// fail ends the process: a part has found that it cannot keep its promise.
func (n *node) fail(err error) {
	select {
	case n.fatal <- err:
	default:
	}
}

func (n *node) startData(context.Context) error {
	dir := n.cfg().Node.DataDir
	// Spill files of a former run have no names; whatever else is in spill is not ours to keep.
	for _, d := range []string{dir, filepath.Join(dir, "spill")} {
		if err := files.MakeDir(d); err != nil {
			return err
		}
	}
	n.budget = mail.NewBudget(int64(n.cfg().Limits.Memory))
	return nil
}

// startDisk looks whether there is room for a start, and from then on for mail.
func (n *node) startDisk(context.Context) error {
	dir := n.cfg().Node.DataDir
	if err := reserve.Of(dir).Room(dir, n.log.Errorf); err != nil {
		return err
	}
	n.pressure = newPressure(dir, float64(n.cfg().Limits.FreeDisk),
		inbound.NewSpace(clientLimits(n.cfg()), n.trusts),
		func() int { return len(n.queues.List()) }, n.log.Errorf)
	go n.pressure.watch(n.background)
	return nil
}

// startLog opens the log, in which the start says what it waits for until said ends.
func (n *node) startLog(said context.Context) (err error) {
	if n.log, err = maillog.Open(logOf(n.cfg())); err != nil {
		return err
	}
	n.onStop("log", n.log.Close)
	n.waits = &waits{log: n.log, service: n.service}
	go n.waits.run(said)
	if n.file == "" {
		n.log.Logf("there is no configuration file: the embedded default is in force, with the "+
			"data in %s", n.cfg().Node.DataDir)
	} else {
		n.log.Logf("the configuration is %s", n.file)
	}
	n.warn(n.cfg())
	return nil
}

// warn logs what a configuration says that works and is hardly meant.
func (n *node) warn(c *config.Config) {
	for _, w := range c.Warnings(n.file) {
		n.log.Logf("warning: %v", w)
	}
}

// warnOfBoth logs which domains are in relay.domains and in the directory. `postroad domain add`
// refuses such a domain; here the directory was first.
func (n *node) warnOfBoth(c *config.Config) {
	for _, domain := range n.keptAndRelayed(c) {
		n.log.Logf("warning: %s is in relay.domains, and in the directory (`postroad domain "+
			"list`): its mail is kept here; take it out of one of them", domain)
	}
}

func (n *node) keptAndRelayed(c *config.Config) (both []string) {
	for _, name := range c.Relay.Domains {
		domain, err := smtp.Domain(name)
		if _, kept := n.users.Domain(domain); err == nil && kept {
			both = append(both, domain)
		}
	}
	return both
}

func (n *node) startTelemetry(ctx context.Context) (err error) {
	t := n.cfg().Telemetry
	n.telemetry, err = telemetry.Start(ctx, telemetry.Options{
		Node: n.cfg().Node.Name, Version: version.Version, OTLP: t.OTLP,
		Sample: sampleOf(n.cfg()), Logf: n.log.Errorf,
	})
	if err != nil {
		return err
	}
	n.onStop("telemetry", n.telemetry.Shutdown)
	n.durations = newDurations()
	n.reloading.at.Store(time.Now().UnixMilli()) // the start has taken one
	return nil
}

// startDelivery makes what all queues' deliveries share.
func (n *node) startDelivery(context.Context) (err error) {
	n.grantor = n.newGrantor()
	n.inquiry = n.inquire()
	n.local = local.New(local.Options{
		Mailboxes: n.boxes, Patience: router.OwnerPatience, Settings: n.mailboxSettings,
		Current: n.knowsPeople, Submitter: front{n}, Hostname: n.cfg().Node.Hostname,
		Logf: n.log.Logf,
	})
	n.ids = mail.NewIDs(n.self.Member, time.Time{})
	resolver := resolverOf(n.cfg())
	resolver.Took = n.durations.lookup.Record
	if n.resolver, err = mx.New(resolver); err != nil {
		return err
	}
	n.outgoing.terms = map[*tenure]struct{}{}
	if n.outgoing.settings, err = deliveryOf(n.cfg()); err != nil {
		return err
	}
	return n.outgoing.settings.Check()
}

// deliveryOptions are those of one term of ownership of one queue group.
func (n *node) deliveryOptions(h *holding, term uint64, s delivery.Settings) delivery.Options {
	o := delivery.Options{Settings: s, Hostname: n.cfg().Node.Hostname}
	o.Budget, o.Log, o.Logf, o.Now = n.budget, timed{n.log, &n.durations}, n.log.Logf, h.queue.Now
	o.Shares = n.newShares(h.group.ID(), term)
	o.Owner = func() bool { return h.group.Holds(term) }
	o.Local, o.Store = n.policy.Local, n.local
	if n.telemetry.Tracing() {
		o.Tracer = n.telemetry.Tracer("postroad/delivery")
	}
	return o
}

// startQueues lets the reconciler start the queue groups. A node that never had others beside it
// waits until it owns its home group; in a cluster that may depend on them, and /readyz says when
// it does.
func (n *node) startQueues(ctx context.Context) error {
	n.reconciler = n.newReconciler()
	var all sync.WaitGroup
	all.Go(func() { n.reconciler.Run(n.background) })
	all.Go(func() { n.detector.Run(n.background) })
	all.Go(func() { n.inquiry.run(n.background) })
	all.Go(func() { n.boxes.Run(n.background) })
	all.Go(func() { n.followQuotas(n.background) })
	all.Go(func() { n.followPushed(n.background) })
	all.Go(func() { n.survey.Run(n.background, n.lookThrough) })
	all.Go(func() { n.followSource(n.background) })
	n.onStop("queues", func(ctx context.Context) error {
		n.cancel()
		all.Wait()
		return errors.Join(n.queues.Stop(ctx), n.shards.Stop(ctx),
			n.handOver(ctx, n.store.Group(cluster.ControlGroup)))
	})
	n.waits.say("its home group, of which it is the only voter, to be led")
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if n.hadOthers() || n.out.Load() != nil { // who is evicted takes no mail, and serve ends it
			return nil
		}
		if _, err := n.accepting(); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case err := <-n.fatal:
			return err
		case <-ctx.Done():
			return fmt.Errorf("the home group does not start: %w", ctx.Err())
		}
	}
}

func (n *node) startSMTP(context.Context) (err error) {
	n.engine, err = eventloop.Start(eventloop.Options{Logf: n.log.Errorf})
	if err != nil {
		return err
	}
	n.onStop("connections", n.engine.Shutdown)
	if n.cert, err = certs.New(certsOf(n.cfg()), n.cfg().Node.Hostname); err != nil {
		return err
	}
	go n.cert.Watch(n.background, n.log.Errorf)
	n.smtp, err = smtpd.New(smtpd.Options{
		Engine: n.engine, Hostname: n.cfg().Node.Hostname, Policy: n.policy, Authenticator: n.auth,
		Submitter: n.submitter(), Watch: n.watch,
		TLS: n.cert.Config, Budget: n.budget, SpillDir: filepath.Join(n.cfg().Node.DataDir,
			"spill"),
		Pressure: n.pressure.Failure, Space: n.pressure.space,
		Log: n.log, Took: n.durations.acceptance.Record,
		Trusted: n.trusts, Settings: smtpOf(n.cfg()),
	})
	if err != nil {
		return err
	}
	if err := n.listenFor(func(k config.Kind) bool { return !isPOP3(k) }); err != nil {
		return err
	}
	n.onStop("SMTP", func(ctx context.Context) error {
		// the rest is for what is being delivered
		ctx, cancel := context.WithTimeout(ctx, stopTimeout/3)
		defer cancel()
		return n.smtp.Shutdown(ctx)
	})
	return nil
}
