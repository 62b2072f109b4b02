package node

import (
	"net/http/httptest"
	"net/textproto"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/internal/maillog"
)

// figures is what a node tells at /metrics.
func (b *boxNodes) figures(n *node) string {
	w := httptest.NewRecorder()
	n.telemetry.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// TestMetricsOfANode: mail that cannot go, a reload that is refused and one that is taken are to be
// seen, and so is each metric of the reference that has no label.
func TestMetricsOfANode(t *testing.T) {
	r := startReloader(t, 1)
	if got := r.reload("[relay]\nnetworks = [\"127.0.0.0/8\"]\n", "0 relay"); got.err != nil {
		t.Fatal(got.err)
	}
	if got := r.reload("[relay]\nnetworks = [\"nonsense\"]\n", "0 relay"); got.err == nil {
		t.Fatal("nonsense is taken")
	}
	r.submitTo(r.addrs[0], "u@far.example")
	r.await("an answer about the DNS", func() bool {
		return !strings.Contains(r.figures(r.n), "postroad_delivery_dns_lookup_seconds_count 0\n")
	})
	r.await("a reason for which it waits", func() bool {
		s, err := r.n.lookThrough(r.ctx)
		r.ok(err)
		r.n.survey.Set(s)
		return s.Reasons["no reply 4.4.3"] == 1
	})
	text := r.figures(r.n)
	for _, want := range []string{
		"postroad_smtpd_acceptance_seconds_count 1\n",
		`postroad_queue_domain_recipients{domain="far.example"} 1`,
		`postroad_queue_tenant_recipients{tenant="none"} 1`,
		`postroad_queue_reason_recipients{reason="no reply 4.4.3"} 1`,
		`postroad_node_reloads_total{result="taken"} 1`,
		`postroad_node_reloads_total{result="refused"} 1`,
		`postroad_node_certificate_expires_at_seconds{name="mx1.example.net"} `,
		`postroad_build_info{node="mx1",`,
		"postroad_cluster_groups_without_leader 0\n",
		"go_goroutines ", "process_open_fds ", "process_resident_memory_bytes ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q", want)
		}
	}
	for _, zero := range []string{"postroad_delivery_dns_unanswered_total 0\n",
		"postroad_node_disk_free_octets 0\n", "postroad_node_configured_at_seconds 0\n",
		"postroad_cluster_leaderships_total 0\n", "postroad_delivery_queue_age_seconds_count 1\n"} {
		if strings.Contains(text, zero) {
			t.Errorf("%q", zero)
		}
	}
	reference, err := os.ReadFile("../docs/metrics.md")
	r.ok(err)
	rows := regexp.MustCompile("(?m)^\\| `(postroad_[a-z0-9_]+)` \\| [a-z]+ \\| .* \\|  \\|$")
	all := rows.FindAllStringSubmatch(string(reference), -1)
	if len(all) < 50 {
		t.Fatalf("the reference has %d rows without a label", len(all))
	}
	for _, row := range all {
		if !strings.Contains(text, "# TYPE "+row[1]+" ") {
			t.Errorf("%s is in the reference, and the node does not tell it", row[1])
		}
	}
}

// submitTo sends a message.
func (b *boxNodes) submitTo(addr, to string) {
	b.t.Helper()
	c, err := textproto.Dial("tcp", addr)
	b.ok(err)
	defer c.Close()
	_, _, err = c.ReadResponse(220)
	b.ok(err)
	for _, step := range []struct {
		say  string
		code int
	}{
		{"EHLO c.example", 250}, {"MAIL FROM:<s@c.example>", 250}, {"RCPT TO:<" + to + ">", 250},
		{"DATA", 354}, {"Subject: x\r\n\r\nx\r\n.", 250}, {"QUIT", 221},
	} {
		b.ok(c.PrintfLine("%s", step.say))
		if _, _, err := c.ReadResponse(step.code); err != nil {
			b.t.Fatalf("%s: %v", step.say, err)
		}
	}
}

// TestTimedRecords: what was delivered has an age, what was attempted has taken its time, and what
// was only told of has neither. The log gets all of them.
func TestTimedRecords(t *testing.T) {
	d := newDurations()
	log := &counted{Sink: maillog.Discard}
	s := timed{log, &d}
	now := time.Now()
	record := func(kind maillog.Type, attempt time.Duration) *maillog.Record {
		r := &maillog.Record{Type: kind, At: now, Created: now.Add(-time.Minute)}
		r.Delays[3] = attempt
		return r
	}
	delivered := record(maillog.Delivery, time.Second)
	for _, r := range []*maillog.Record{delivered, record(maillog.TransientFailure, time.Second),
		record(maillog.TransientFailure, 0), record(maillog.Bounce, 2*time.Second),
		record(maillog.Expiration, 0)} {
		s.Log(r)
	}
	if log.n != 5 || d.age.Count() != 1 || d.attempt.Count() != 3 {
		t.Errorf("%d logged, %d ages, %d attempts", log.n, d.age.Count(), d.attempt.Count())
	}
	if n := testing.AllocsPerRun(1000, func() { s.Log(delivered) }); n > 0 {
		t.Errorf("%v allocations each", n)
	}
}

// counted counts records.
type counted struct {
	maillog.Sink
	n int
}

func (c *counted) Log(*maillog.Record) { c.n++ }

// TestEndedScheduler: of one that has ended counts stay, and nothing is in its memory any more.
func TestEndedScheduler(t *testing.T) {
	past := ended(delivery.Stats{Relayed: 3, Items: 5, Sites: 1,
		BySite: map[string]delivery.SiteStats{"mx.a": {Relayed: 3, Waiting: 4}}})
	now := delivery.Stats{BySite: map[string]delivery.SiteStats{"mx.a": {Relayed: 1, Waiting: 2}}}
	sum := sumDelivery(past, now)
	if of := sum.BySite["mx.a"]; of.Relayed != 4 || of.Waiting != 2 || sum.Relayed != 3 ||
		sum.Items != 0 || sum.Sites != 0 {
		t.Errorf("%+v", sum)
	}
}
