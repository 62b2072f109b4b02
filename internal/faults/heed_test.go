package faults

import "testing"

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
	stops := "postroad: fatal: group 2: its leader lacks entries 5 to 9: other nodes' disks were rolled back or lost; nothing"
	doubts := "group 2: it neither votes: its log ends before what it had acknowledged: was its disk rolled back?"
	if !keepsWhatIsAtStake(stops) || keepsWhatIsAtStake(doubts) {
		t.Error("the wrong one")
	}
	d := &Driver{}
	d.name("at stake: 1 messages\n  38ha6gjpt0020006 from <a@b.example>, 1 of 1 recipients not delivered")
	if !d.Named()["38ha6gjpt0020006"] || len(d.Named()) != 1 {
		t.Errorf("%v", d.Named())
	}
}
