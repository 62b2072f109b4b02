package delivery

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery/mx"
	"github.com/postroad/postroad/delivery/report"
	"github.com/postroad/postroad/delivery/smtpclient"
	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/queuetest"
)

// world is a node's delivery in virtual time: the real queue over a group in memory, the real
// scheduler and reporter, and a made-up Internet whose domains each have one host, mx.DOMAIN,
// unless the test says otherwise.
type world struct {
	t        *testing.T
	group    *queuetest.Group
	queue    *queue.Queue
	sched    *Scheduler
	reporter *report.Reporter
	o        Options
	net      *internet
	dialer   func() Dialer // of the next boot; nil: the internet's
	log      *logbook
	shift    time.Duration // of the wall clock, from the next boot on
}

func newWorld(t *testing.T, set func(w *world)) *world {
	w := &world{t: t, net: &internet{hosts: map[string]*remote{}, mx: map[string][]string{}},
		log: &logbook{}}
	w.o = Options{Hostname: "mx.node.test", Log: w.log,
		Settings: Settings{Retry: Retry{DelayWarning: 4 * time.Hour}}}
	if set != nil {
		set(w)
	}
	w.group = queuetest.New(queuetest.Machine{
		Apply: func(wr *queuetest.Writer, i, term uint64, data []byte, parts [][]byte) any {
			return w.queue.Apply(wr, i, term, data, parts)
		},
		Committed: func() { w.queue.Committed() },
	})
	w.boot()
	return w
}

// shifted is a clock.Steady of a machine whose wall clock is off by a time.
type shifted struct {
	*clock.Steady
	by time.Duration
}

func (c shifted) Now() time.Time { return c.Steady.Now().Add(c.by) }

// boot starts the queue and the scheduler over what the group holds.
func (w *world) boot() {
	by := w.shift
	qo := queue.Options{
		Budget: mail.NewBudget(64 << 20),
		NewClock: func(floor time.Time) queue.Clock {
			return shifted{clock.NewSteady(floor.Add(-by)), by}
		},
	}
	w.queue = queue.New(qo)
	w.o.Now = func() time.Time { return w.queue.Now() }
	var err error
	dial := w.net.dial
	if w.dialer != nil {
		dial = w.dialer()
	}
	if w.sched, err = New(w.o, FromQueue(w.queue), w.net, dial); err != nil {
		w.t.Fatal(err)
	}
	if err := w.queue.Start(w.t.Context(), w.group, w.sched); err != nil {
		w.t.Fatal(err)
	}
	w.reporter = report.New(report.Options{
		Settings: report.Settings{Expire: w.o.Retry.Expire}, Hostname: w.o.Hostname,
		Mailboxes: LocalSite, Log: w.log, Now: w.o.Now, Logf: w.o.Logf,
	}, FromQueue(w.queue))
	w.reporter.Start()
	w.sched.Start()
}

// halt ends what boot started.
func (w *world) halt() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := w.sched.Shutdown(ctx); err != nil {
		w.t.Errorf("Shutdown: %v", err)
	}
	w.reporter.Stop()
	if err := w.queue.Stop(ctx); err != nil {
		w.t.Errorf("queue.Stop: %v", err)
	}
	w.sched.check(w.t)
}

// inWorld runs a test in virtual time.
func inWorld(t *testing.T, set func(*world), test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, set)
		defer w.halt()
		test(w)
	})
}

// submit has the queue accept a message and returns its ID.
func (w *world) submit(env *mail.Envelope) mail.ID {
	w.t.Helper()
	return w.submitBody(env, "Subject: "+env.Sender+"\r\n\r\nhello\r\n")
}

// submitBody is submit of a content of one's own.
func (w *world) submitBody(env *mail.Envelope, body string) mail.ID {
	w.t.Helper()
	for i := range env.Recipients {
		if r := &env.Recipients[i]; r.Domain == "" {
			r.Domain = mail.DomainOf(r.Address)
		}
	}
	done := make(chan mail.ID, 1)
	w.queue.Submit(env, &mail.Content{Chunks: [][]byte{[]byte(body)}, Size: int64(len(body))},
		func(id mail.ID, f *smtp.Failure) {
			if f != nil {
				w.t.Errorf("Submit: %v", f)
			}
			done <- id
		})
	return <-done
}

func envelopeOf(sender string, to ...string) *mail.Envelope {
	env := &mail.Envelope{Sender: sender}
	for _, a := range to {
		env.Recipients = append(env.Recipients, mail.Recipient{Address: a})
	}
	return env
}

// after lets virtual time pass.
func (w *world) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) count(f queue.Filter) queue.Total {
	w.t.Helper()
	total, err := w.queue.Count(w.t.Context(), f)
	if err != nil {
		w.t.Fatal(err)
	}
	return total
}

// internet is the Resolver and Dialer of a world.
type internet struct {
	mu      sync.Mutex
	hosts   map[string]*remote
	mx      map[string][]string // domain: its hosts; else "mx."+domain
	fail    func(domain string) *smtp.Failure
	lookups int
	skew    time.Duration // of the resolver's clock
}

func (n *internet) host(name string) *remote {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hosts[name]
	if h == nil {
		i := len(n.hosts) + 1
		h = &remote{name: name,
			addr:    netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}),
			latency: time.Millisecond}
		n.hosts[name] = h
	}
	return h
}

// at returns the host of a domain with one.
func (n *internet) at(domain string) *remote { return n.host("mx." + domain) }

func (n *internet) Lookup(_ context.Context, domain string) (*mx.Route, *smtp.Failure) {
	n.mu.Lock()
	n.lookups++
	fail, names := n.fail, n.mx[domain]
	n.mu.Unlock()
	time.Sleep(5 * time.Millisecond)
	if fail != nil {
		if f := fail(domain); f != nil {
			return nil, f
		}
	}
	if names == nil {
		names = []string{"mx." + domain}
	}
	r := &mx.Route{Site: strings.Join(names, "|"), Expires: time.Now().Add(10*time.Minute + n.skew)}
	for i, name := range names {
		r.Hosts = append(r.Hosts, mx.Host{Name: name, Pref: uint16(i),
			Addrs: []netip.Addr{n.host(name).addr}})
	}
	return r, nil
}

func (n *internet) LookupHost(_ context.Context, host string) (*mx.Route, *smtp.Failure) {
	return &mx.Route{Site: host, Expires: time.Now().Add(10 * time.Minute),
		Hosts: []mx.Host{{Name: host, Addrs: []netip.Addr{n.host(host).addr}}}}, nil
}

func (n *internet) Cached(string) (*mx.Route, *smtp.Failure, bool)     { return nil, nil, false }
func (n *internet) CachedHost(string) (*mx.Route, *smtp.Failure, bool) { return nil, nil, false }

func (n *internet) dial(ctx context.Context, o *smtpclient.Options) (Conn, *smtpclient.Error) {
	return n.host(o.ServerName).dial(ctx, o)
}

// remote is one host of the internet: it counts what it sees and does as the test says.
type remote struct {
	name    string
	addr    netip.Addr
	latency time.Duration

	mu sync.Mutex
	// asked at each connect; nil: all are welcome
	refuse func() *smtpclient.Error
	// for each recipient; nil: 250
	answer func(tx *smtpclient.Transaction, i int) smtpclient.Status
	// asked for each transaction; nil or a nil result: all goes well
	cut      func(tx *smtpclient.Transaction) *smtpclient.Result
	dsn      bool
	aborted  func()
	connects int
	open     int
	most     int // open at once
	sent     map[*fakeConn]int
	got      []delivered
	times    []time.Time // of the transactions
}

type delivered struct {
	sender, to string
	at         time.Time
	size       int
	content    string
	last       bool // of its transaction
	options    smtpclient.Options
}

func (r *remote) dial(ctx context.Context, o *smtpclient.Options) (Conn, *smtpclient.Error) {
	r.mu.Lock()
	r.connects++
	refuse := r.refuse
	r.open++
	r.most = max(r.most, r.open)
	r.mu.Unlock()
	time.Sleep(r.latency)
	if refuse != nil {
		if err := refuse(); err != nil {
			r.closed()
			return nil, err
		}
	}
	return &fakeConn{r: r, o: *o, usable: true}, nil
}

func (r *remote) closed() {
	r.mu.Lock()
	r.open--
	r.mu.Unlock()
}

// set changes how the host behaves.
func (r *remote) set(f func(r *remote)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r)
}

func (r *remote) received() []delivered {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]delivered(nil), r.got...)
}

func (r *remote) connected() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.connects
}

// mostOpen is how many connections were open at once, transactions the times of all transactions.
func (r *remote) mostOpen() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.most
}

func (r *remote) transactions() []time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]time.Time(nil), r.times...)
}

// down is a host that does not take connections.
func down() *smtpclient.Error {
	return &smtpclient.Error{Status: smtpclient.Status{Code: 451, Enhanced: "4.4.1",
		Text: "connection refused", Local: true}}
}

// reply is a peer's reply to RCPT.
func reply(code int, enhanced, text string) smtpclient.Status {
	return smtpclient.Status{Code: code, Reply: code, Enhanced: enhanced, Text: text,
		Command: smtpclient.StepRcpt}
}

type fakeConn struct {
	r      *remote
	o      smtpclient.Options
	usable bool
	sent   int
	gone   sync.Once
}

func (c *fakeConn) Deliver(tx *smtpclient.Transaction) smtpclient.Result {
	time.Sleep(c.r.latency)
	c.sent++
	r := c.r
	r.mu.Lock()
	r.times = append(r.times, time.Now())
	cut, answer := r.cut, r.answer
	r.mu.Unlock()
	if cut != nil {
		if res := cut(tx); res != nil {
			c.usable = c.usable && res.Err == nil && !res.Retry
			return *res
		}
	}
	if err := tx.BeforeEnd(); err != nil {
		c.usable = false
		return smtpclient.Result{Aborted: true, Err: err}
	}
	res := smtpclient.Result{Recipients: tx.Results}
	for i := range tx.Recipients {
		st := smtpclient.Status{Code: 250, Reply: 250, Enhanced: "2.0.0", Text: "Ok",
			Command: smtpclient.StepEnd}
		if answer != nil {
			st = answer(tx, i)
		}
		res.Recipients[i] = st
		if st.OK() {
			d := delivered{tx.Sender, tx.Recipients[i].Address, time.Now(), len(tx.Recipients),
				string(tx.Content), i == len(tx.Recipients)-1, c.o}
			r.set(func(r *remote) { r.got = append(r.got, d) })
		}
	}
	return res
}

func (c *fakeConn) Usable() bool { return c.usable }
func (c *fakeConn) Alive() bool  { return c.usable }
func (c *fakeConn) Offers() *smtpclient.Offers {
	return &smtpclient.Offers{ESMTP: true, DSN: c.r.dsn}
}
func (c *fakeConn) TLS() string            { return "" }
func (c *fakeConn) Remote() netip.AddrPort { return c.o.Addr }
func (c *fakeConn) Local() netip.AddrPort  { return netip.MustParseAddrPort("10.255.0.1:1024") }
func (c *fakeConn) Quit()                  { c.gone.Do(c.r.closed) }
func (c *fakeConn) Abort() {
	if c.r.aborted != nil {
		c.r.aborted()
	}
}

// lost is a transaction during which the connection ended.
func lost(tx *smtpclient.Transaction, code int, enhanced string, unknown bool) *smtpclient.Result {
	res := &smtpclient.Result{Recipients: tx.Results, Err: fmt.Errorf("connection lost")}
	for i := range res.Recipients {
		res.Recipients[i] = smtpclient.Status{Code: code, Enhanced: enhanced,
			Text: "lost connection", Local: true, Unknown: unknown}
	}
	return res
}

// logbook is a Sink that remembers.
type logbook struct {
	mu      sync.Mutex
	records []maillog.Record
	removed []mail.ID
}

func (l *logbook) Log(r *maillog.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, *r)
}
func (l *logbook) Queued(mail.ID, string, int64, int) {}
func (l *logbook) Removed(id mail.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removed = append(l.removed, id)
}

// of returns the records of one type.
func (l *logbook) of(t maillog.Type) (found []maillog.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records {
		if r.Type == t {
			found = append(found, r)
		}
	}
	return found
}
