package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func shared(t *testing.T, version uint64, text string) *Shared {
	t.Helper()
	s, err := ParseShared("push.toml", version, text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func parseWith(file string, s *Shared) (*Config, error) {
	return parse("f", "", []byte(file), func(*Config) (*Shared, error) { return s, nil })
}

// TestMerge: what was pushed is in force beside a node's own sections, but for what the node keeps
// for itself, and each value's place is known.
func TestMerge(t *testing.T) {
	s := shared(t, 3, `[relay]
networks = ["10.0.0.0/8"]
domains = ["relay.example"]
[retry]
expire = "4d"
[limits]
message_size = "10MiB"
[[route]]
smart_host = "a.example"
[shaping.default]
connections = 7
[shaping."b.example"]
rate = "1/s"
[shaping.local]
connections = 5
`)
	c, err := parseWith(`[node]
hostname = "mx1.example"
own = ["relay.networks", "shaping.local", "local"]
[relay]
networks = ["192.0.2.0/24"]
[local]
domains = ["own.example"]
[limits]
memory = "64MiB"
[shaping.local]
connections = 9
`, s)
	if err != nil {
		t.Fatal(err)
	}
	if c.Relay.Networks[0].String() != "192.0.2.0/24" || c.Relay.Domains[0] != "relay.example" ||
		c.Local.Domains[0] != "own.example" || c.Limits.MessageSize != 10<<20 ||
		c.Limits.Memory != 64<<20 || c.Retry.Expire.String() != "4d" ||
		c.Retry.Schedule[0].String() != "1m" || len(c.Routes) != 1 ||
		c.Routes[0].TLS != "opportunistic" {
		t.Errorf("merged:\n%s", c.Show())
	}
	if c.Shaping["b.example"].Connections != 7 || c.Shaping["local"].Connections != 9 {
		t.Errorf("shaping: %+v", c.Shaping)
	}
	if s.config.Routes[0].TLS != "" || len(s.config.Shaping) != 3 ||
		s.config.Shaping["b.example"].Connections != 0 {
		t.Errorf("merging changed what was pushed: %+v", s.config)
	}
	origins := c.ShowOrigins()
	for _, want := range []string{
		`"192.0.2.0/24"]  # f:5`, `"relay.example"]  # push.toml:3`,
		`expire        = "4d"  # push.toml:5`,
		`delay_warning = "4h"  # default`, `rate                    = "1/s"  # push.toml:13`,
		"connections             = 7  # push.toml:11\nmessages_per_connection = 100  # default",
		`smart_host    = "a.example"  # push.toml:9`,
	} {
		if !strings.Contains(origins, want) {
			t.Errorf("no %q in\n%s", want, origins)
		}
	}
	if back, err := Parse("shown", []byte(origins)); err != nil || back.Show() != c.Show() {
		t.Errorf("what is shown does not read back: %v", err)
	}
}

// TestMergeRefuses: each problem says where it is, in the node's own file or in what was pushed.
func TestMergeRefuses(t *testing.T) {
	for _, c := range []struct{ name, pushed, own, want string }{
		{"a key in two places", "[retry]\nexpire = \"4d\"", "[node]\n[retry]\nexpire = \"5d\"",
			"f:3:1: retry.expire: is shared by all nodes, and stands in what is pushed"},
		{"a key that the pushed one leaves out", "[retry]\nexpire = \"4d\"",
			"[relay]\ndomains = []", "f:2:1: relay.domains: is shared by all nodes"},
		{"a list of tables", "[retry]\nexpire = \"4d\"", "\n[[route]]\nsmart_host = \"a\"",
			"f:2:3: route: is shared by all nodes"},
		{"a destination", "[retry]\nexpire = \"4d\"", "shaping.\"b.example\".rate = \"1/s\"",
			"f:1:9: shaping.\"b.example\": is shared by all nodes"},
		{"the other key is its own", "[retry]\nexpire = \"4d\"",
			"[node]\nown = [\"retry.schedule\"]\n[retry]\nexpire = \"5d\"",
			"f:4:1: retry.expire: is shared by all nodes"},
		{"a destination as its own", "[retry]\nexpire = \"4d\"",
			"[node]\nown = [\"shaping.b.example\"]\n[shaping.\"b.example\"]\nrate = \"1/s\"\n" +
				"[shaping.\"c.example\"]\nrate = \"1/s\"",
			"f:5:10: shaping.\"c.example\": is shared by all nodes"},
		{"own of nothing", "[retry]\nexpire = \"4d\"", "[node]\nown = [\"retrys\"]",
			`f:2:8: node.own[0]: "retrys" is not shared; did you mean "retry"?`},
		{"own of what is never shared", "[retry]\nexpire = \"4d\"",
			"[node]\nown = [\"limits.memory\"]",
			`f:2:8: node.own[0]: "limits.memory" is not shared;`},
		{"a combination", "[retry]\nexpire = \"1h\"", "",
			"push.toml:1:2: retry.delay_warning: comes after retry.expire"},
		{"a combination with an own key", "\n[retry]\nexpire = \"1d\"",
			"[node]\nown = [\"retry.delay_warning\"]\n[retry]\ndelay_warning = \"2d\"",
			"f:4:1: retry.delay_warning: comes after retry.expire"},
	} {
		_, err := parseWith(c.own, shared(t, 3, c.pushed))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s:\n got %v\nwant %s", c.name, err, c.want)
		}
	}
	if _, err := Parse("f", []byte("[node]\nown = [\"nothing\"]")); err == nil {
		t.Error("own of nothing is taken where nothing was pushed")
	}
}

// TestParseShared: only what is shared may be pushed.
func TestParseShared(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"[retry]\nexpire = \"4d\"\n[node]\nname = \"a\"",
			"p:3:2: node: is each node's own; keep it in the files of the nodes"},
		{"[limits]\nhops = 20\nmemory = \"1MiB\"", "p:3:1: limits.memory: is each node's own"},
		{"[[listener]]\naddress = \":25\"", "p:1:3: listener: is each node's own"},
		{"[retry]\nexpires = \"4d\"",
			"p:2:1: retry.expires: there is no such key; did you mean retry.expire?"},
		{"[retry]\nexpire = 4", "p:2:10: retry.expire: is the number 4;"},
		{"# nothing\n", "p: says nothing"},
		{"# " + strings.Repeat("x", MaxShared), "p: is larger than 256KiB"},
		{"[local]\npostmaster = \"\xff@example.net\"",
			"p:2:1: is no text in UTF-8; save it in UTF-8"},
		{"dns.servers = []\n[telemetry]\notlp = \"a:1\"\n", "p:1:1: dns: is each node's own"},
	} {
		_, err := ParseShared("p", 1, c.text)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%.60q:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}

func TestDiffShared(t *testing.T) {
	a := shared(t, 1, "[retry]\nexpire = \"4d\"\n[relay]\ndomains = [\"a.example\"]")
	b := shared(t, 2, "[retry]\nexpire = \"3d\"\n[[route]]\nsmart_host = \"h\"")
	var keys []string
	for _, c := range DiffShared(a, b) {
		keys = append(keys, c.Key+" "+c.Old+" "+c.New)
	}
	want := []string{`relay.domains ["a.example"] []`, "route[0]  added", `retry.expire "4d" "3d"`}
	if !reflect.DeepEqual(keys, want) {
		t.Errorf("got  %q\nwant %q", keys, want)
	}
	if len(DiffShared(a, a)) != 0 || len(DiffShared(nil, a)) != 2 {
		t.Error("nothing, or all, differs")
	}
}

// TestReloadKeepsPlaces: what waits for a restart stands still where it stood.
func TestReloadKeepsPlaces(t *testing.T) {
	old, err := Parse("old", []byte("[node]\ndata_dir = \"/a\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	next, err := Parse("new",
		[]byte("[relay]\ndomains = [\"a.example\"]\n[node]\ndata_dir = \"/b\""))
	if err != nil {
		t.Fatal(err)
	}
	shown := Reloaded(old, next).ShowOrigins()
	for _, want := range []string{`"/a"  # until a restart`, `["a.example"]  # new:2`} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in\n%s", want, shown)
		}
	}
}

// TestKept: a node's file is merged with what the node keeps, by every command that reads it; what
// is damaged says so.
func TestKept(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f.toml")
	if err := os.WriteFile(file, []byte("[node]\ndata_dir = \""+dir+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Kept(dir); s != nil || err != nil {
		t.Fatalf("%+v, %v", s, err)
	}
	s := shared(t, 7, "[retry]\nexpire = \"4d\" # \"quoted\"\n")
	path, b := KeptPath(dir), s.Encode()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Kept(dir)
	if err != nil || got.Version != 7 || got.Text != s.Text {
		t.Fatalf("%+v, %v", got, err)
	}
	c, err := Load(file)
	if err != nil || c.Retry.Expire.String() != "4d" ||
		!strings.Contains(c.ShowOrigins(), "# pushed version 7:2\n") {
		t.Fatalf("%v\n%s", err, c.ShowOrigins())
	}
	if c, err := LoadWith(file, nil); err != nil || c.Retry.Expire.String() != "5d" {
		t.Errorf("without it: %v", err)
	}
	for _, bad := range []string{"", strings.Replace(string(b), "4d", "3d", 1),
		string(b[:len(b)/2])} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(file); !errors.As(err, new(Problems)) ||
			!strings.HasPrefix(err.Error(), path+": is damaged: remove it") {
			t.Errorf("%.30q: %v", bad, err)
		}
	}
}

// TestEncodedFits: what is pushed grows to the double at most on its way, whatever it is made of.
func TestEncodedFits(t *testing.T) {
	for _, fill := range []string{"<", "&", "\t", "\"", "\u2028", "#\n"} {
		text := "[limits]\nhops = 40\n# "
		text += strings.Repeat(fill, (MaxShared-len(text))/len(fill))
		s := shared(t, 1, text)
		b := s.Encode()
		if got, err := DecodeShared(b); err != nil || got.Text != text || len(b) > 2*MaxShared+256 {
			t.Errorf("%q: %d octets, %v", fill, len(b), err)
		}
	}
}

// TestCheckText: JSON would make another text of one that is not in UTF-8.
func TestCheckText(t *testing.T) {
	for text, want := range map[string]string{
		"# caf\u00e9":                    "",
		"[limits]\n# caf\xe9":            "f:2:",
		strings.Repeat("x", MaxShared+1): "f: is larger than 256KiB",
	} {
		if err := CheckText("f", text); (err == nil) != (want == "") ||
			err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}
