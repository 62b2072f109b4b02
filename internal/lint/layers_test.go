package lint

import (
	"fmt"
	"strings"
	"testing"
)

// levels are the layers: a package imports only what is on a lower one, and of its own only what
// beside allows.
var levels = map[string]int{
	// Words, formats and mechanisms without mail in them.
	"internal/smtp": 0, "internal/clock": 0, "internal/config": 0, "internal/eventloop": 0,
	"internal/telemetry": 0, "internal/lint": 0, "internal/glob": 0,
	"internal/sdnotify": 0, "internal/files": 0, "internal/rows": 0, "internal/codec": 0,
	"internal/fifo": 0, "internal/inbound": 0, "delivery/timers": 0,
	"cluster/token":    0,
	"internal/version": 0, "internal/certs": 0, "internal/unixsock": 0,
	"internal/rsasign": 0,
	// The words between operators and nodes, and how a command line is made.
	"operate/admin/cmdline": 4, "signing/command": 5, "operate/admin/api": 2,
	"operate/admin/client": 3, "internal/cli": 3, "internal/datadir": 3,
	// The values that cross the layers.
	"internal/mail": 1, "internal/message": 1, "internal/dns": 1, "internal/dsn": 2,
	"internal/maillog": 2, "internal/trace": 3,
	"mailauth/dkim": 2,
	// State. None of these knows another.
	"cluster": 3, "cluster/beat": 3, "cluster/control": 3, "cluster/logstore": 3,
	"cluster/state": 3, "cluster/wire": 3, "queue": 3, "queue/machine": 3, "mailbox": 3,
	"directory": 3,
	// Packages that stand on one of them.
	"cluster/secret": 4, "cluster/owner": 4, "signing": 4, "cluster/member": 4,
	"mailbox/remote": 4, "mailbox/archive": 4,
	"mailbox/router": 4, "directory/roster": 4, "directory/ldap": 4,
	// The state machine of the control group: members and users in one.
	"node/internal/controlgroup": 4,
	"node/internal/peer":         4, "node/internal/reserve": 3, "node/internal/collector": 3,
	"node/internal/stillness": 3,
	"node/internal/survey":    4,
	// Protocols and decisions. They take what they need of each other as small interfaces of their
	// own.
	"smtpd": 5, "intake": 5, "delivery": 5, "delivery/local": 5, "delivery/mx": 5,
	"delivery/smtpclient": 5, "delivery/share": 5, "delivery/shaping": 0,
	"delivery/report": 5, "mailbox/pop3": 5, "policy": 5, "delivery/jitter": 2,
	"operate/admin": 5,
	// The operators' work, beside a node that runs or on one that does not.
	"node/operator": 6, "node/offline": 6,
	// The only place that knows which concrete parts work together.
	"node": 7,
	// The command line and nothing else.
	"cmd/postroad": 8,
}

// kits are for tests, the demonstration and the bench: what the product is made of does not import
// them.
var kits = []string{
	"internal/testkit/mail", "internal/testkit/faults", "internal/testkit/crash",
	"internal/testkit/confine", "internal/testkit/golden",
	"internal/testkit/session", "internal/testkit/dns", "internal/testkit/rows", "queue/queuetest",
	"internal/testkit/dkimpy",
	"bench", "e2e/kit",
}

// beside are the imports within a layer that are meant: a package's own parts; policy, which
// answers the questions that smtpd asks in smtpd's words; and mailbox/router, whose way to another
// member mailbox/remote is.
var beside = map[string][]string{
	"cluster":        {"cluster/beat", "cluster/logstore", "cluster/state", "cluster/wire"},
	"cluster/beat":   {"cluster/wire"},
	"cluster/state":  {"cluster/logstore"},
	"delivery":       {"delivery/mx", "delivery/smtpclient", "delivery/share"},
	"delivery/local": {"delivery"},
	"policy":         {"smtpd"},
	// which files are no place for a secret
	"internal/config": {"internal/files"}, "internal/certs": {"internal/files"},
	"mailbox/router": {"mailbox/remote"},
	"queue":          {"queue/machine"},
}

// never are imports that the layers would allow and that the design does not.
var never = []struct{ who, what, instead string }{
	{"cluster", module + "/internal/mail", "cluster knows bytes, not mail: take them as []byte"},
	{"cluster", module + "/internal/smtp", "cluster knows bytes, not mail: return plain errors"},
	{"cluster", module + "/internal/dsn", "cluster knows bytes, not mail"},
	{"cluster", module + "/internal/maillog", "cluster knows bytes, not mail: take a Logf"},
	{"cluster/owner", module + "/cluster", "declare what you need of a group, as owner.Group"},
	{"cluster/owner", module + "/internal/mail", "terms are of bytes, not of mail"},
	{"cluster/owner", module + "/internal/maillog", "take a Logf"},
	{"delivery/local", module + "/mailbox/router", "declare what you need, as local.Mailboxes"},
	{"mailbox/router", module + "/cluster",
		"declare what you need, as router.Copy and Options.Call"},
	{"mailbox/router", module + "/queue", "take a func, as Options.Pending"},
	{"cluster/member", module + "/internal/mail", "a member knows groups, not mail"},
	{"cluster/member", module + "/internal/maillog", "take a Logf"},
	{"cluster/member", module + "/queue", "what is in a group is behind member.Parts"},
	{"cluster/member", module + "/mailbox", "what is in a group is behind member.Parts"},
	{"cluster/member", module + "/directory", "a member knows groups, not users"},
	{"queue/machine", "net", "the state machine is rows and commands"},
	{"queue/machine", module + "/internal/clock", "time is in the command"},
	{"queue", "net", "the queue has no sockets; addresses are net/netip's"},
	{"queue", "net/http", "the queue has no sockets: operate/admin serves it"},
	{"mailbox", "net", "the mailbox store has no sockets"},
	{"directory", "net", "the directory has no sockets"},
	{"smtpd", module + "/cluster",
		"declare the interface that you need; package node passes the cluster"},
	{"smtpd", module + "/queue",
		"declare the interface that you need, as smtpd.Submitter; package node passes the queue"},
	{"intake", module + "/queue", "declare the interface that you need, as intake.Submitter"},
	{"delivery", module + "/cluster",
		"declare the interface that you need; package node passes the cluster"},
	{"mailbox/pop3", module + "/cluster",
		"declare the interface that you need; package node passes the cluster"},
	{"policy", module + "/cluster",
		"declare the interface that you need; package node passes the cluster"},
	{"operate/admin", module + "/cluster",
		"declare the interface that you need; package node passes the cluster"},
}

func isKit(pkg string) bool {
	for _, k := range kits {
		if under(pkg, k) {
			return true
		}
	}
	return false
}

// importProblem says what is wrong with an import, or "".
func importProblem(pkg, name string) string {
	for _, n := range never {
		// A package below it in the tree and on a higher layer, as mailbox/pop3 is, is not a part
		// of it.
		if under(pkg, n.who) && levels[pkg] == levels[n.who] && name == n.what {
			return n.instead
		}
	}
	target, ours := strings.CutPrefix(name, module+"/")
	if !ours {
		return ""
	}
	own, known := levels[pkg]
	if !known {
		return "add " + pkg +
			" to the levels in internal/lint/layers_test.go, at the lowest that does"
	}
	if isKit(target) {
		if pkg == "cmd/postroad" && under(target, "bench") {
			return "" // it runs bench and demonstration
		}
		if pkg == "node" && target == "internal/testkit/faults/disk" {
			return "" // a build for fault runs (tag faults)
		}
		return target + " is for tests and the demonstration; move what the product needs out of it"
	}
	level, known := levels[target]
	switch {
	case !known:
		return "add " + target +
			" to the levels in internal/lint/layers_test.go, at the lowest that does"
	case level < own:
		return ""
	case level == own:
		for _, b := range beside[pkg] {
			if b == target {
				return ""
			}
		}
		return "both are on one layer: declare the small interface that you need, and let " +
			"package node pass the other"
	}
	return target +
		" is on a higher layer: declare the small interface that you need, or move what both " +
		"need down"
}

func TestImportsGoDown(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range tree(t) {
		seen[s.pkg] = true
		if s.test || isKit(s.pkg) {
			continue
		}
		for _, name := range s.imports {
			if p := importProblem(s.pkg, name); p != "" {
				t.Errorf("%s must not import %s: %s", s.path, name, p)
			}
		}
	}
	for pkg := range levels {
		if !seen[pkg] {
			t.Errorf("the levels name %s, which does not exist", pkg)
		}
	}
}

// TestTheRulesFind shows that the rules find what they are for.
func TestTheRulesFind(t *testing.T) {
	for _, c := range []struct {
		pkg, name string
		bad       bool
	}{
		{"queue", module + "/internal/mail", false},
		{"queue", module + "/cluster", true},
		{"queue", "net", true},
		{"queue", "net/netip", false},
		{"cluster/logstore", module + "/internal/mail", true},
		{"cluster", module + "/cluster/logstore", false},
		{"cluster/logstore", module + "/cluster", true},
		{"smtpd", module + "/policy", true},
		{"policy", module + "/smtpd", false},
		{"mailbox", "net", true},
		{"mailbox/pop3", "net", false},
		{"mailbox/pop3", module + "/mailbox", false},
		{"delivery/local", module + "/delivery", false},
		{"delivery/local", module + "/mailbox/router", true},
		{"mailbox/router", module + "/mailbox/remote", false},
		{"mailbox/router", module + "/cluster/control", false},
		{"mailbox/router", module + "/cluster", true},
		{"mailbox/router", module + "/queue", true},
		{"smtpd", module + "/queue", true},
		{"internal/smtp", module + "/internal/mail", true},
		{"delivery", module + "/queue/queuetest", true},
		{"cmd/postroad", module + "/internal/testkit/mail", true},
		{"cmd/postroad", module + "/bench/demo", false},
		{"node", module + "/internal/testkit/faults", true},
		{"node", module + "/internal/testkit/faults/disk", false},
		{"nowhere", module + "/queue", true},
	} {
		if p := importProblem(c.pkg, c.name); (p != "") != c.bad {
			t.Errorf("%s imports %s: %q", c.pkg, c.name, p)
		}
	}
}

// homes say where each library is at home. A library that is not here is not used;
// docs/decisions/0002-dependencies.md has the reasons.
var homes = []struct {
	library string
	in      []string // product packages; their tests too
	kits    bool     // also the test kits
	tests   []string // only the tests of these packages
	instead string
}{
	{"github.com/panjf2000/gnet/v2", []string{"internal/eventloop"}, false, nil,
		"use internal/eventloop"},
	{"github.com/hashicorp/raft", []string{"cluster"}, false, nil,
		"use cluster's Group, or an interface with its methods"},
	{"github.com/hashicorp/go-hclog", []string{"cluster"}, false, nil, "take a Logf"},
	{"github.com/cockroachdb/pebble/v2", []string{"cluster"}, true, nil,
		"use cluster's Group, or an interface with its methods"},
	{"github.com/HdrHistogram/hdrhistogram-go", []string{"bench"}, false, nil,
		"only the bench measures latencies itself"},
	{"github.com/cespare/xxhash/v2", []string{"bench/record"}, false, nil,
		"use record.SumOf and record.Hash"},
	{"github.com/miekg/dns", []string{"internal/dns"}, true, []string{"mailauth/dkim"},
		"use internal/dns, and internal/testkit/dns for a server"},
	{"github.com/emersion/go-msgauth", nil, false, []string{"mailauth/dkim", "signing",
		"e2e/signing"},
		"use mailauth/dkim"},
	{"github.com/pelletier/go-toml/v2", []string{"internal/config"}, false, nil,
		"use internal/config"},
	{"github.com/prometheus/client_golang", []string{"internal/telemetry"}, false, nil,
		"keep a Stats struct; telemetry.Area makes metrics of it"},
	{"go.opentelemetry.io/otel/log", []string{"internal/telemetry"}, false, nil,
		"use telemetry.Event"},
	{"go.opentelemetry.io/otel/sdk", []string{"internal/telemetry"}, false, nil,
		"use OpenTelemetry's API, or a Stats struct"},
	{"go.opentelemetry.io/otel/exporters", []string{"internal/telemetry"}, false, nil,
		"use OpenTelemetry's API, or a Stats struct"},
	{"go.opentelemetry.io/proto", nil, false, []string{"internal/telemetry"},
		"use OpenTelemetry's API"},
	{"google.golang.org/grpc", nil, false, []string{"internal/telemetry"},
		"use OpenTelemetry's API"},
	{"go.opentelemetry.io/otel", []string{"internal/telemetry", "intake", "delivery"}, false, nil,
		"keep spans at the edges: the layers below return what happened"},
	{"github.com/xdg-go/scram", []string{"directory", "policy"}, false, []string{"smtpd"},
		"use directory and policy"},
	{"github.com/go-ldap/ldap/v3", []string{"directory/ldap"}, false, nil, "use directory.Source"},
	{"github.com/go-crypt/x", []string{"directory"}, false, nil, "use directory"},
	{"golang.org/x/crypto", []string{"directory"}, false, nil, "use directory"},
	{"golang.org/x/net", []string{"internal/smtp", "internal/config", "operate/admin"}, false, nil,
		"use internal/smtp for the names of domains"},
	{"golang.org/x/text", []string{"directory", "internal/smtp"}, false, nil,
		"use directory.Canonical"},
	{"golang.org/x/term", []string{"internal/cli", "cmd/postroad", "bench/command", "bench/demo"},
		false, nil, "only the command line has a terminal"},
	{"github.com/klauspost/compress", []string{"mailbox/archive"}, false, nil,
		"use mailbox/archive"},
	{"golang.org/x/sys", []string{"internal/eventloop", "cluster"}, true, nil,
		"system calls belong into the event loop and the store"},
}

func libraryProblem(s *source, name string) string {
	for _, h := range homes {
		if !under(name, h.library) {
			continue
		}
		for _, home := range h.in {
			if under(s.pkg, home) {
				return ""
			}
		}
		for _, home := range h.tests {
			if s.test && s.pkg == home {
				return ""
			}
		}
		if h.kits && isKit(s.pkg) {
			return ""
		}
		return fmt.Sprintf("%s is at home in %s: %s", h.library,
			strings.Join(append(h.in, h.tests...), ", "), h.instead)
	}
	return "a new library needs a row in internal/lint/layers_test.go and its reason in " +
		"docs/decisions/0002-dependencies.md"
}

func TestLibrariesStayAtHome(t *testing.T) {
	for _, s := range tree(t) {
		for _, name := range s.imports {
			if standard(name) || strings.HasPrefix(name, module) {
				continue
			}
			if p := libraryProblem(&s, name); p != "" {
				t.Errorf("%s imports %s: %s", s.path, name, p)
			}
		}
	}
	for path, bad := range map[string]bool{"queue": true, "cluster": false,
		"internal/testkit/crash": false} {
		if p := libraryProblem(&source{pkg: path},
			"github.com/cockroachdb/pebble/v2/vfs"); (p != "") != bad {
			t.Errorf("Pebble in %s: %q", path, p)
		}
	}
}
