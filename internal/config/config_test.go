package config

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write docs/configuration.md")

// TestContract loads the configuration that interface.md shows: every key of it is known, and has
// the documented default.
func TestContract(t *testing.T) {
	c, err := Load("testdata/contract.toml")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Routes[0]; got.Domain != "*.partner.example" ||
		got.SmartHost != "mail.partner.example:587" || got.TLS != "require" {
		t.Errorf("route = %+v", got)
	}
	if s := c.Shaping["gmail.com"]; s.Rate != (Rate{50, time.Second}) || s.Connections != 20 ||
		s.Scope != "cluster" {
		t.Errorf("shaping of gmail.com = %+v", s)
	}
	if len(c.Listeners) != 1 ||
		!c.Listeners[0].ProxyProtocolFrom.Contains(netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("listeners = %+v", c.Listeners)
	}
	d := Default()
	if c.Limits != d.Limits || !reflect.DeepEqual(c.Retry, d.Retry) ||
		c.Shaping["default"] != d.Shaping["default"] || c.Events != d.Events {
		t.Errorf("what interface.md shows is not the default:\n%s\nagainst\n%s", c.Show(), d.Show())
	}
}

func TestEmbeddedDefault(t *testing.T) {
	c, err := Load("")
	if err != nil {
		t.Fatal(err)
	}
	if c.Listeners[0].Address != "127.0.0.1:2525" || c.Listeners[1].Kind != KindSubmission ||
		c.Admin.Address != "127.0.0.1:8025" {
		t.Errorf("not a laptop's default:\n%s", c.Show())
	}
	if len(c.Local.Domains) != 1 || c.Local.Domains[0] != c.Node.Hostname ||
		c.Delivery.Helo != c.Node.Hostname {
		t.Errorf("local domain and EHLO name do not follow the host name:\n%s", c.Show())
	}
	empty, err := Parse("empty", nil)
	if err != nil || empty.Show() != c.Show() {
		t.Errorf("an empty file (%v) is not the default:\n%s", err, empty.Show())
	}
}

func TestShowReadsBack(t *testing.T) {
	for _, path := range []string{"", "testdata/contract.toml"} {
		c, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse("shown", []byte(c.Show()))
		if err != nil {
			t.Fatalf("%v\n%s", err, c.Show())
		}
		if back.Show() != c.Show() || len(Diff(c, back)) > 0 {
			t.Errorf("shown:\n%s\nread back:\n%s", c.Show(), back.Show())
		}
	}
}

func TestProblems(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"unknown key", "[limits]\nmesage_size = \"1MiB\"",
			`f:2:1: limits.mesage_size: there is no such key; did you mean limits.message_size?`},
		{"unknown section", "[limit]\n",
			`f:1:2: limit: there is no such key; did you mean limits?`},
		{"key of another section", "[node]\nhelo = \"a\"",
			`f:2:1: node.helo: there is no such key; did you mean delivery.helo?`},
		{"nothing near", "[dns]\nxyzzyx = 1",
			`f:2:1: dns.xyzzyx: there is no such key; the keys here are servers`},
		{"dotted", "limits.memry = 1",
			`f:1:8: limits.memry: there is no such key; did you mean limits.memory?`},
		{"inline table", "limits = { memry = \"1MiB\" }",
			`f:1:12: limits.memry: there is no such key; did you mean limits.memory?`},
		{"in a list", "[[listener]]\naddress = \":1\"\n[[listener]]\naddres = \":2\"",
			`f:4:1: listener[1].addres: there is no such key; did you mean listener[1].address?`},
		{"no unit", "[retry]\nexpire = 5", `f:2:10: retry.expire: is the number 5; ` +
			wantDuration},
		{"wrong unit", "[limits]\n  memory = \"50MB\"",
			`f:2:12: limits.memory: is the text "50MB"; ` + wantSize},
		{"one of several", "[retry]\nschedule = [\"1m\",\n  \"5 m\"]",
			`f:3:3: retry.schedule[1]: is the text "5 m"; ` + wantDuration},
		{"wrong rate", "[shaping.default]\nrate = \"10\"",
			`f:2:8: shaping.default.rate: is the text "10"; ` + wantRate},
		{"network", "[relay]\nnetworks = [\"10.0.0.1/8\"]",
			`f:2:13: relay.networks[0]: is the text "10.0.0.1/8"; has address bits beyond its length; did you mean "10.0.0.0/8"?`},
		{"enum", "[telemetry]\nlog_format = \"JSON\"",
			`f:2:14: telemetry.log_format: is the text "JSON"; did you mean "json"?`},
		{"kind of listener", "[[listener]]\naddress = \":25\"\nkind = \"smtp\"",
			`f:3:8: listener[0].kind: is the text "smtp"; want one of relay, submission, submissions, lmtp, pop3, pop3s`},
		{"LMTP on port 25", "[[listener]]\naddress = \":25\"\nkind = \"lmtp\"",
			`f:2:1: listener[0].address: LMTP must not be served on port 25 (RFC 2033 5); use another port, such as 24`},
		{"LMTP without a port", "[[route]]\nsmart_host = \"a.example\"\nprotocol = \"lmtp\"",
			`f:2:1: route[0].smart_host: needs a port for LMTP, and not 25 (RFC 2033 5); name the port that the server listens on for LMTP, such as 24`},
		{"table for list", "[listener]\naddress = \":25\"",
			`f:1:2: listener: is not a table; write [[listener]]`},
		{"list for table", "[[node]]\n", `f:1:3: node: is not a list of tables; write [node]`},
		{"value for table", "relay = true", `f:1:9: relay: is true; write it as [relay]`},
		{"text for number", "[limits]\nrecipients = \"1000\"",
			`f:2:14: limits.recipients: is the text "1000"; want a whole number`},
		{"negative", "[limits]\nrecipients = -1",
			`f:2:14: limits.recipients: is the number -1; want a whole number of 0 to 2147483647`},
		{"twice", "[node]\nname = \"a\"\nname = \"b\"",
			`f:3:1: node.name: is given twice; it is also on line 2`},
		{"syntax", "[node\n", `f:1:6: `},
		{"certificates in their section", "[tls]\n[[tls.certificate]]\nnames = [\"a.example\"]",
			`f:2:7: tls.certificate: is not a list of tables; further certificates are [[certificate]]`},
		{"certificate without key", "[[certificate]]\ncertificate = \"x\"",
			`f:1:3: certificate[0].key: is missing; name a PEM file`},
		{"certificate for no name",
			"[[certificate]]\ncertificate = \"x\"\nkey = \"x\"\nnames = [\"a\", \"*\"]",
			`f:4:15: certificate[0].names[1]: "*" would be every domain`},
		{"old TLS", "[[listener]]\naddress = \":25\"\ntls_min = \"1.4\"",
			`f:3:11: listener[0].tls_min: is the text "1.4"`},
		{"log-in domain", "[[listener]]\naddress = \":25\"\nlogin_domain = \"@x\"",
			`f:3:1: listener[0].login_domain: "@x" is not a domain name`},
		{"domain of bare addresses", "[[listener]]\naddress = \":25\"\ncomplete_domain = \"@x\"",
			`f:3:1: listener[0].complete_domain: "@x" is not a domain name`},
		{"LDAP attribute", "[ldap]\nurl = \"ldap://x\"\nbase = \"x\"\nid = \"a)(b\"",
			`f:4:1: ldap.id: is not the name of an attribute`},
		{"key without certificate", "[tls]\n\nkey = \"x\"",
			`f:3:1: tls.key: needs certificate; set tls.certificate too`},
		{"both local and relay",
			"[local]\ndomains = [\"a.example\"]\n[relay]\ndomains = [\"A.example\"]",
			`f:2:12: local.domains[0]: a.example is also in relay.domains;`},
		{"postmaster loop",
			"[local]\ndomains = [\"a.example\"]\npostmaster = \"postmaster@a.example\"",
			`f:3:1: local.postmaster: postmaster@a.example is what it stands for`},
		{"warning after expiry", "[retry]\nexpire = \"1h\"",
			`f:1:2: retry.delay_warning: comes after retry.expire`},
		{"password in clear",
			"[[route]]\nsmart_host = \"h\"\ntls = \"off\"\nusername = \"u\"\npassword_file = \"p\"",
			`f:3:1: route[0].tls: would send the password in the clear`},
		{"same address", "[[listener]]\naddress = \":25\"\n[[listener]]\naddress = \":25\"",
			`f:4:1: listener[1].address: :25 is also listener[0].address; give each its own port`},
		{"all addresses and one", "[[listener]]\naddress = \"192.0.2.1:25\"\n" +
			"[[listener]]\naddress = \"0.0.0.0:25\"",
			`f:4:1: listener[1].address: 0.0.0.0:25 and 192.0.2.1:25 (listener[0].address) cannot ` +
				`both be opened: one is for every address of the machine; give each its own port`},
		{"all addresses of one kind and one of the other", "[[listener]]\naddress = " +
			"\"[::]:25\"\n[[listener]]\naddress = \"192.0.2.1:25\"",
			`f:4:1: listener[1].address: 192.0.2.1:25 and [::]:25`},
		{"written in two ways", "[[listener]]\naddress = \"[::1]:25\"\n" +
			"[[listener]]\naddress = \"[0:0::1]:25\"",
			`f:4:1: listener[1].address: [0:0::1]:25 is also listener[0].address`},
		{"localhost", "[[listener]]\naddress = \"localhost:25\"\n" +
			"[[listener]]\naddress = \"127.0.0.1:25\"",
			`f:4:1: listener[1].address: 127.0.0.1:25 is also listener[0].address`},
		{"administration where mail comes in", "[[listener]]\naddress = \":25\"\n[admin]\n" +
			"address = \"127.0.0.1:25\"", `f:4:1: admin.address: 127.0.0.1:25 and :25 (listener[0]`},
		{"mail where the administration is", "[[listener]]\naddress = \":8025\"",
			`f:2:1: listener[0].address: :8025 and 127.0.0.1:8025 (admin.address) cannot both`},
		{"other nodes where mail comes in", "[[listener]]\naddress = \":25\"\n[cluster]\n" +
			"listen = \":25\"", `f:4:1: cluster.listen: :25 is also listener[0].address`},
		{"IPv6 without brackets", "[[listener]]\naddress = \"::1:25\"",
			`f:2:1: listener[0].address: "::1:25" is not an address to listen on; write "[::1]:25"`},
		{"another node's without brackets", "[cluster]\nadvertise = \"2001:db8::1:7025\"",
			`f:2:1: cluster.advertise: "2001:db8::1:7025" is not an address that other nodes can ` +
				`dial; write "[2001:db8::1]:7025"`},
		{"no port", "[[listener]]\naddress = \"192.0.2.1\"", `f:2:1: listener[0].address: ` +
			`"192.0.2.1" is not an address to listen on; a port is missing: write "192.0.2.1:25"`},
		{"a port by name", "[[listener]]\naddress = \":smtp\"", `f:2:1: listener[0].address: ` +
			`":smtp" is not an address to listen on; the port is a number`},
		{"a name", "[[listener]]\naddress = \"mx1.example.net:2465\"",
			`f:2:1: listener[0].address: "mx1.example.net:2465" is not an address to listen on; ` +
				`use an IP address: of names only localhost is taken`},
		{"dots without quotes", "[shaping.gmail.com]\nrate = \"1/s\"",
			`f:1:16: shaping.gmail.com: there is no such key; a name with dots stands in quotes: ` +
				`write shaping."gmail.com"`},
		{"more dots", "[shaping]\nmx.example.net.rate = \"1/s\"",
			`f:2:4: shaping.mx.example: there is no such key; a name with dots stands in quotes: ` +
				`write shaping."mx.example.net"`},
		{"no dots", "shaping.example.rat = \"1/s\"",
			`f:1:17: shaping.example.rat: there is no such key; did you mean shaping.example.rate?`},
		{"both local and relay, in two alphabets",
			"[local]\ndomains = [\"bücher.example\"]\n[relay]\ndomains = " +
				"[\"xn--bcher-kva.example\"]",
			`f:2:12: local.domains[0]: bücher.example is also in relay.domains;`},
		{"max_line", "[[listener]]\naddress = \":25\"\nmax_line = \"500B\"",
			`f:3:1: listener[0].max_line: is less than RFC 5322 2.1.1 lets every sender use; write "998B" or more`},
		{"no address", "[[listener]]\nkind = \"relay\"", `f:1:3: listener[0].address: is missing`},
		{"replicas", "[cluster]\nreplicas = 4", `f:2:1: cluster.replicas: is 4; use 3 or 5`},
		{"advertised everywhere", "[cluster]\nadvertise = \"0.0.0.0:7025\"",
			`f:2:1: cluster.advertise: "0.0.0.0:7025" is not an address that other nodes can dial`},
		{"advertised nowhere", "[cluster]\nadvertise = \"mx_1:7025\"",
			`f:2:1: cluster.advertise: "mx_1:7025" is not an address that other nodes can dial`},
		{"key in a value", "[node]\nname.first = \"a\"",
			`f:2:6: node.name.first: node.name is a value, it has no keys`},
	} {
		_, err := Parse("f", []byte(c.in))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s:\n got %v\nwant %s", c.name, err, c.want)
		}
	}
}

// TestAdvertised: what other nodes dial is an address that means something to them.
func TestAdvertised(t *testing.T) {
	for _, c := range []struct{ listen, want string }{
		{"127.0.0.1:7025", "127.0.0.1:7025"},
		{"[2001:db8::1]:7025", "[2001:db8::1]:7025"},
		{"0.0.0.0:7025", "mx1:7025"},
		{"[::]:7025", "mx1:7025"},
		{":7025", "mx1:7025"},
	} {
		if got := advertised(c.listen, "mx1"); got != c.want {
			t.Errorf("%s: %s, want %s", c.listen, got, c.want)
		}
	}
	c, err := Parse("f",
		[]byte("[cluster]\nlisten = \"0.0.0.0:7025\"\nadvertise = \"mx1.example.net:7025\"\n"))
	if err != nil || c.Cluster.Advertise != "mx1.example.net:7025" {
		t.Errorf("%v, %v", c.Cluster.Advertise, err)
	}
}

func TestProblemsAreFoundTogether(t *testing.T) {
	_, err := Parse("f", []byte("[node]\nnam = \"a\"\n[limits]\nmemory = 5\n"))
	if ps, ok := err.(Problems); !ok || len(ps) != 2 || ps[1].Line != 4 {
		t.Errorf("got %v", err)
	}
	_, err = Parse("f",
		[]byte("[node]\n"+strings.Repeat("x", 1)+" = 1\n"+strings.Repeat("[y]\n", 100)))
	if ps := err.(Problems); len(ps) != maxProblems {
		t.Errorf("%d problems, want them bounded at %d", len(ps), maxProblems)
	}
}

func TestDiffAndReload(t *testing.T) {
	parse := func(s string) *Config {
		c, err := Parse("f", []byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	old := parse("[node]\nhostname = \"a.example\"\n[relay]\nnetworks = [\"::1\"]\n")
	next := parse(
		"[node]\nhostname = \"a.example\"\ndata_dir = \"/elsewhere\"\n[relay]\nnetworks = " +
			"[\"10.0.0.0/8\"]\n[[route]]\nsmart_host = \"h\"\n[shaping.\"b.example\"]\nrate = " +
			"\"1/s\"\n[cluster]\nreplicas = 5\n")
	changes := Diff(old, next)
	want := []Change{
		{"node.data_dir", `"./postroad-data"`, `"/elsewhere"`, false},
		{"relay.networks", `["::1"]`, `["10.0.0.0/8"]`, true},
		{"route[0]", "", "added", true},
		{`shaping."b.example"`, "", "added", true},
		{"cluster.replicas", "3", "5", false},
	}
	if !reflect.DeepEqual(changes, want) {
		t.Errorf("got  %+v\nwant %+v", changes, want)
	}
	if got := Restart(changes); !reflect.DeepEqual(got,
		[]string{"node.data_dir", "cluster.replicas"}) {
		t.Errorf("Restart = %v", got)
	}
	got := Reloaded(old, next)
	if got.Node.DataDir != "./postroad-data" || got.Relay.Networks[0].String() != "10.0.0.0/8" ||
		len(got.Routes) != 1 || len(got.Shaping) != 2 || got.Cluster.Replicas != 3 {
		t.Errorf("reloaded:\n%s", got.Show())
	}
	old.Node.Hostname, next.Node.Hostname = "a.example", "b.example"
	old.Local.Domains, next.Local.Domains = []string{"a.example"}, []string{"b.example"}
	old.Delivery.Helo, next.Delivery.Helo = "a.example", "b.example"
	if r := Reloaded(old, next); r.Local.Domains[0] != "a.example" ||
		r.Delivery.Helo != "a.example" {
		t.Errorf("what depends on the host name does not wait with it: %v", r.Local.Domains)
	}
	next.Node.Hostname, next.Local, next.Delivery = old.Node.Hostname, old.Local, old.Delivery
	back := Diff(next, old)
	if len(back) != len(want) || back[2] != (Change{"route[0]", "removed", "", true}) {
		t.Errorf("back: %+v", back)
	}
	if next.Node.DataDir != "/elsewhere" {
		t.Error("Reloaded changed its argument")
	}
}

// TestRestartHasAReason: a key that a reload does not take says why.
func TestRestartHasAReason(t *testing.T) {
	docs, err := comments()
	if err != nil {
		t.Fatal(err)
	}
	for section := range fields(reflect.TypeFor[Config]()) {
		table := section.Type
		if table.Kind() != reflect.Struct && table.Kind() != reflect.Map &&
			table.Kind() != reflect.Slice {
			continue
		}
		if table.Kind() != reflect.Struct {
			table = table.Elem()
		}
		if table.Kind() != reflect.Struct || section.Tag.Get("toml") == "" {
			continue
		}
		for key := range fields(table) {
			says := strings.Contains(docs[table.Name()+"."+key.Name], "Takes a restart: ")
			if reloads := key.Tag.Get("reload") == "yes"; says == reloads {
				t.Errorf("%s.%s: reload is %v, and a reason for a restart is given: %v",
					section.Name, key.Name, reloads, says)
			}
		}
	}
}

func TestCheckFiles(t *testing.T) {
	dir := t.TempDir()
	short := filepath.Join(dir, "short")
	os.WriteFile(short, []byte("secret\nmore"), 0o600)
	c, err := Parse("f",
		[]byte("[admin]\ntoken_file = \""+short+
			"\"\n[tls]\ncertificate = \"/none\"\nkey = \"/none\"\n"+
			"[[certificate]]\ncertificate = \"/none\"\nkey = \"/none\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	ps, _ := c.CheckFiles("f").(Problems)
	if len(ps) != 3 || ps[0].Key != "tls.certificate" || ps[0].Line != 4 ||
		ps[1].Key != "certificate[0].certificate" || ps[1].Line != 7 ||
		!strings.Contains(ps[2].What, "has 6 characters") {
		t.Errorf("got %v", ps)
	}
}

// TestReferenceIsCurrent keeps docs/configuration.md what the comments say.
func TestReferenceIsCurrent(t *testing.T) {
	t.Setenv("HOSTNAME", "")
	page, err := Reference()
	if err != nil {
		t.Fatal(err)
	}
	const path = "../../docs/configuration.md"
	if *update {
		if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(path)
	if err != nil || string(committed) != page {
		t.Fatalf(
			"docs/configuration.md is not current (%v): run `go run ./cmd/postroad config "+
				"reference > docs/configuration.md`", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "[node]\nname = \"x\"", "[[listener]]\naddress = \":25\"",
		"listener = [{address=\":1\"},{}]", "[[listener.address]]",
		"[shaping.\"a.b\"]\nrate = \"1,000/h\"", "shaping.default.rate = \"\"",
		"[retry]\nschedule = [\"1m\", [1]]", "\"\".\"\" = 1",
		"[listener]\n[listener.tls]", "limits = {memory = 1, memory = 2}",
		"[relay]\nnetworks = [\"::ffff:1.2.3.4\"]", "a.b.c = 1979-05-27",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f", data)
		if err != nil {
			return
		}
		back, err := Parse("shown", []byte(c.Show()))
		if err != nil || back.Show() != c.Show() {
			t.Fatalf("%v\n%s", err, c.Show())
		}
	})
}
