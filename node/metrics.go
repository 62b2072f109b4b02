package node

import (
	"context"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/internal/telemetry"
	"github.com/postroad/postroad/node/internal/survey"
	"github.com/postroad/postroad/operate/admin"
	"github.com/postroad/postroad/queue"
)

// startAdmin opens the administration socket and address: last, so that /readyz answers 200 when
// mail can come.
func (n *node) startAdmin(context.Context) error {
	if err := n.registerMetrics(); err != nil {
		return err
	}
	settings, err := adminOf(n.cfg())
	if err != nil {
		return err
	}
	group, err := n.cfg().SocketGroup()
	if err != nil {
		return err
	}
	server, err := admin.Start(admin.Options{
		Socket: n.cfg().SocketPath(), Group: group,
		Address: n.cfg().Admin.Address, Settings: settings,
		Node: n.cfg().Node.Name, Health: n, Metrics: n.telemetry.Handler(),
		Queues: n.operator.Queues, Groups: n.operator.QueueGroups, Moved: n.operator.Moved,
		Users: n.operatorsUsers(), Keys: n.keyLife, Now: n.now, Logf: n.log.Logf,
		Reload: n.askReload, Flush: n.log.Flush,
		Peers: n.peers, Current: n.current, Still: n.standStill,
		Cluster: n.operator, Suspensions: n.operator, Mailboxes: n.operatorsMailboxes(),
		Configs: n.operator, ShowConfig: func() string { return n.cfg().ShowOrigins() },
	})
	if err != nil {
		return err
	}
	n.admin.Store(server)
	n.onStop("administration", server.Shutdown)
	return nil
}

// registerMetrics hangs each part's figures on the meter.
func (n *node) registerMetrics() error {
	for area, collect := range map[string]func(telemetry.Observer){
		"smtpd": n.observeSMTP, "queue": n.observeQueue, "delivery": n.observeDelivery,
		"store": n.observeStore, "node": n.observeNode,
		"cluster": n.observeCluster, "mailbox": n.observeMailboxes, "pop3": n.observePOP3,
		"signing": n.observeSigning,
	} {
		if err := n.telemetry.Area(area, collect); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) observeSMTP(o telemetry.Observer) {
	s, e := n.smtp.Stats(), n.engine.Stats()
	o.Gauge("connections_open", "SMTP connections open now", float64(s.Open))
	o.Counter("connections_total", "SMTP connections accepted", s.Connections)
	o.Counter("connections_refused_total", "connections over a limit", e.Refused)
	o.Counter("connections_displaced_total", "silent connections ended to make room for others",
		s.GaveWay)
	o.Counter("messages_total", "messages accepted (250 sent)", s.Messages)
	o.Durations("acceptance_seconds",
		"time from the end of a message's data to its 250", n.durations.acceptance)
	o.Counter("recipients_total", "recipients of accepted messages", s.Recipients)
	o.Counter("octets_total", "octets of accepted messages", s.Octets)
	o.CounterBy("rejections_total", "commands and messages refused", "kind", "temporary",
		s.RejectedTemp)
	o.CounterBy("rejections_total", "commands and messages refused", "kind", "permanent",
		s.RejectedPerm)
	o.CounterBy("logins_total", "log-ins", "result", "succeeded", s.AuthSucceeded)
	o.CounterBy("logins_total", "log-ins", "result", "failed", s.AuthFailed)
	o.Counter("timeouts_total", "sessions ended because the client was too slow", s.Timeouts)
	o.Counter("tls_handshakes_total", "TLS handshakes that succeeded", s.TLS)
	o.Counter("tls_failures_total", "TLS handshakes that failed", s.TLSFailed)
	o.Counter("panics_total", "sessions ended by a fault of ours", e.Panics)
}

// queueStats are the figures of the queues that this node owns, together: so the sum over all nodes
// counts everything once.
func (n *node) queueStats() (sum queue.Stats) {
	for _, h := range n.queues.List() {
		if h.tenure.Load() == nil {
			continue
		}
		s := h.queue.Stats()
		for _, x := range []struct{ to, from *uint64 }{
			{&sum.Messages, &s.Messages}, {&sum.Bytes, &s.Bytes}, {&sum.Reports, &s.Reports},
			{&sum.Accepted, &s.Accepted},
			{&sum.DoubleBounces, &s.DoubleBounces}, {&sum.Repeated, &s.Repeated},
			{&sum.AcceptedAfter451, &s.AcceptedAfter451},
			{&sum.Refused, &s.Refused}, {&sum.Fenced, &s.Fenced}, {&sum.Recalled, &s.Recalled},
		} {
			*x.to += *x.from
		}
		for i, n := range s.Recipients {
			sum.Recipients[i] += n
		}
		sum.Waiting, sum.WaitingOutcomes = sum.Waiting+s.Waiting,
			sum.WaitingOutcomes+s.WaitingOutcomes
	}
	return sum
}

func (n *node) deliveryStats() (sum delivery.Stats, reports uint64) {
	for _, h := range n.queues.List() {
		s, made := h.delivered()
		sum = sumDelivery(sum, s)
		reports += made
	}
	return sum, reports
}

func (n *node) observeQueue(o telemetry.Observer) {
	s := n.queueStats()
	o.Gauge("messages", "messages in the queue", float64(s.Messages))
	o.Gauge("octets", "octets of content in the queue", float64(s.Bytes))
	o.Gauge("reports_due", "delivery reports that are due", float64(s.Reports))
	for st := queue.Ready; st <= queue.Held; st++ {
		if st != queue.InFlight {
			o.GaugeBy("recipients", "recipients in the queue", "state", st.String(),
				float64(s.Recipients[st]))
		}
	}
	for st := queue.Delivered; st <= queue.Removed; st++ {
		o.CounterBy("settled_total", "recipients that reached a final state", "state", st.String(),
			s.Recipients[st])
	}
	o.Counter("accepted_total", "messages accepted", s.Accepted)
	o.Counter("accepted_after_451_total",
		"messages that were stored after their client had been told 451", s.AcceptedAfter451)
	o.Counter("double_bounces_total", "failures of reports, which are reported to nobody",
		s.DoubleBounces)
	o.Counter("proposals_repeated_total", "proposals repeated because their outcome was unknown",
		s.Repeated)
	o.Counter("refused_total", "submissions refused because too much was waiting", s.Refused)
	o.Counter("fenced_total", "outcomes refused because another owner had come", s.Fenced)
	o.Counter("recalled_total",
		"deliveries of an earlier term that were recorded when the node owned the queue again",
		s.Recalled)
	o.Gauge("waiting_messages", "submissions waiting for the log", float64(s.Waiting))
	o.Gauge("waiting_outcomes", "outcomes waiting for the log", float64(s.WaitingOutcomes))
	n.observeSurvey(o)
}

// lookThrough looks through the queues that this node owns.
func (n *node) lookThrough(ctx context.Context) (f survey.Found, err error) {
	for _, h := range n.queues.List() {
		if t := h.tenure.Load(); t != nil && err == nil {
			err = f.Look(ctx, h.queue, t.scheduler.Reason)
		}
	}
	f.At = n.now()
	return f, err
}

// observeSurvey tells what the latest look through the queues has found.
func (n *node) observeSurvey(o telemetry.Observer) {
	s := n.survey.Last()
	if s.At.IsZero() {
		return
	}
	now, oldest := n.now(), 0.0
	if !s.Oldest.IsZero() {
		oldest = now.Sub(s.Oldest).Seconds()
	}
	o.Gauge("oldest_seconds", "age of the oldest message, as it was looked through last", oldest)
	o.Gauge("surveyed_seconds", "time since the queue was looked through: each minute, and more "+
		"rarely when it is long", now.Sub(s.At).Seconds())
	for name, k := range s.Domains {
		o.GaugeBy("domain_recipients", "recipients in the queue, by their domain", "domain", name,
			float64(k))
	}
	for name, k := range s.Tenants {
		o.GaugeBy("tenant_recipients", "recipients in the queue, by tenant", "tenant", name,
			float64(k))
	}
	for name, k := range s.Reasons {
		o.GaugeBy("reason_recipients", "recipients in the queue, by why they wait", "reason", name,
			float64(k))
	}
}

func (n *node) observeDelivery(o telemetry.Observer) {
	s, reports := n.deliveryStats()
	o.Gauge("connections_open", "outgoing connections open now", float64(s.Connections))
	o.Counter("connections_total", "outgoing connections that were opened", s.Connected)
	o.Counter("connect_failures_total", "outgoing connections that could not be opened",
		s.ConnectFailed)
	o.Counter("transactions_total", "mail transactions begun", s.Transactions)
	o.Gauge("window_items", "items in memory", float64(s.Items))
	o.Gauge("unsettled_recipients", "outcomes that the queue has not recorded yet",
		float64(s.Unsettled))
	o.Gauge("destinations", "destinations in memory", float64(s.Destinations))
	o.Gauge("sites", "sites in memory", float64(s.Sites))
	o.Gauge("sites_dead", "sites that are left alone until their back-off ends",
		float64(s.DeadSites))
	const attempts = "recipients by the outcome of their attempts"
	o.CounterBy("outcomes_total", attempts, "outcome", "relayed", s.Relayed)
	o.CounterBy("outcomes_total", attempts, "outcome", "delivered", s.Delivered)
	o.CounterBy("outcomes_total", attempts, "outcome", "deferred", s.Deferred)
	o.CounterBy("outcomes_total", attempts, "outcome", "failed", s.Failed)
	o.CounterBy("outcomes_total", attempts, "outcome", "expired", s.Expired)
	for l, n := range s.Throttled {
		o.CounterBy("throttled_total", "times that waiting mail met a limit, by the limit",
			"limit", delivery.Limit(l).String(), n)
	}
	for site, st := range s.BySite {
		o.CounterBy("site_relayed_total", "recipients relayed, by site", "site", site, st.Relayed)
		o.CounterBy("site_deferred_total", "recipients deferred, by site", "site", site,
			st.Deferred)
		o.CounterBy("site_failed_total", "recipients failed, by site", "site", site, st.Failed)
		o.GaugeBy("site_waiting", "messages in memory that wait, by site", "site", site,
			float64(st.Waiting))
		o.CounterBy("site_throttled_total", "times that waiting mail met a limit, by site", "site",
			site, st.Throttled)
	}
	o.Durations("queue_age_seconds",
		"time from a message's arrival to its delivery, for each recipient", n.durations.age)
	o.Durations("attempt_seconds",
		"time of an attempt over an open connection, for each recipient", n.durations.attempt)
	o.Counter("reports_total", "delivery reports made", reports)
	d := n.resolver.Stats()
	o.Counter("dns_lookups_total", "routes looked up in DNS", d.Lookups)
	o.Counter("dns_cache_hits_total", "routes found in memory", d.Hits)
	o.Counter("dns_timeouts_total", "DNS questions without an answer in time", d.Timeouts)
	o.Counter("dns_unanswered_total",
		"DNS questions that no resolver said anything to: all of them are down", d.Unanswered)
	o.Durations("dns_lookup_seconds", "time of a look-up of a route that memory did not answer",
		n.durations.lookup)
}
