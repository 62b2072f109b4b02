package faults

import (
	"os"
	"path/filepath"
	"testing"
)

// TestToRemove finds the file that a node's words ask to be removed, and no other.
func TestToRemove(t *testing.T) {
	n := &Node{Data: "/d/n1/data"}
	for words, want := range map[string]string{
		"postroad: bad; remove /d/n1/data/a.json, and others will find it": "/d/n1/data/a.json",
		"postroad: /d/n1/data/secret has 0 octets of 32: remove it, and":   "/d/n1/data/secret",
		"postroad: remove /etc/passwd, please":                             "",
		"postroad: open /d/n1/data/state: no such file":                    "",
	} {
		if got := toRemove(n, words); got != want {
			t.Errorf("%s: %q, want %q", words, got, want)
		}
	}
}

// TestWaitsForNobody: the node that was emptied says so itself, and nobody is left of its list.
func TestWaitsForNobody(t *testing.T) {
	n := &Node{Name: "n1", Config: filepath.Join(t.TempDir(), "c"), Advertise: "h1:1"}
	if err := os.WriteFile(n.Config, []byte(`join = ["h1:1", "h2:1"]`), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &Driver{Cluster: &Cluster{}, spoilt: n}
	waits := "n1 is not ready: starting: waits for a cluster to join: this node is the first"
	for _, c := range []struct {
		other, why string
		want       bool
	}{
		{"h3:1", waits, true},
		{"h2:1", waits, false},
		{"h3:1", "n1 is not ready: starting: group 3 has no leader", false},
		{"h3:1", "n1" + waits, false},
		{"h3:1", "", false},
	} {
		d.Cluster.mu.nodes = []*Node{n, {Name: "n3", Advertise: c.other}}
		if d.waitsForNobody(c.why) != c.want {
			t.Errorf("beside %s, %q: not %v", c.other, c.why, c.want)
		}
	}
}

// TestLastWords are what a program says at its end.
func TestLastWords(t *testing.T) {
	log := "Nov 30 n1 postroad[1]: up\npostroad: it is damaged\n  run that\n"
	if got := lastWords(log); got != "postroad: it is damaged\n  run that" {
		t.Errorf("%q", got)
	}
	if got := lastWords("a\nb\nc\nd\n"); got != "b\nc\nd" {
		t.Errorf("%q", got)
	}
}

// TestWhatIsAtStake: who stops because others were rolled back is told from who was itself.
func TestWhatIsAtStake(t *testing.T) {
	stops := "postroad: fatal: group 2: its leader lacks entries 5 to 9: other nodes' disks " +
		"were rolled back or lost; nothing"
	doubts := "group 2: it neither votes: its log ends before what it had acknowledged: was its " +
		"disk rolled back?"
	if !keepsWhatIsAtStake(stops) || keepsWhatIsAtStake(doubts) {
		t.Error("the wrong one")
	}
	d := &Driver{}
	d.name(
		"at stake: 1 messages\n  38ha6gjpt0020006 from <a@b.example>, 1 of 1 recipients not " +
			"delivered",
	)
	if !d.Named()["38ha6gjpt0020006"] || len(d.Named()) != 1 {
		t.Errorf("%v", d.Named())
	}
}
