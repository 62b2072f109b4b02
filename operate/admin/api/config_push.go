package api

import (
	"fmt"
	"strings"
	"time"

	"github.com/postroad/postroad/internal/config"
)

// PushRequest asks for a configuration to be given to all nodes.
type PushRequest struct {
	Name string `json:"name,omitempty"` // of the file, for what is wrong in it
	Text string `json:"text,omitempty"`
	// Rollback is the version whose text is pushed again, instead of Text.
	Rollback uint64 `json:"rollback,omitempty"`
	// Seen is the version that must be in force; absent: the one that the node finds.
	Seen *uint64 `json:"seen,omitempty"`
	Who  string  `json:"who,omitempty"`
	Note string  `json:"note,omitempty"`
	// Dry asks what a push would change, after all nodes have judged it, and changes nothing.
	Dry bool `json:"dry,omitempty"`
}

// maxPushWho and maxPushNote bound what is said of a push, in octets.
const (
	maxPushWho  = 128
	maxPushNote = 200
)

// Check finds what cannot be meant.
func (r *PushRequest) Check() error {
	switch {
	case (r.Text == "") == (r.Rollback == 0):
		return Fail(ExitUsage, "there is nothing to push",
			"give a file, or a version to go back to")
	case len(r.Who) > maxPushWho || !printable(r.Who) || !printable(r.Name):
		return Fail(ExitData, "that is no name", "")
	case len(r.Note) > maxPushNote || !printable(r.Note):
		return Fail(ExitData, "that is no note",
			fmt.Sprintf("it has 1 to %d octets on one line", maxPushNote))
	}
	return nil
}

// PushAnswer says of a version that was pushed, or was in force already, which nodes have it.
type PushAnswer struct {
	Version uint64       `json:"version"` // of a dry one: the version in force
	Nodes   []ConfigNode `json:"nodes"`
	// Changes are those of the node that was asked.
	Changes []config.Change `json:"changes,omitempty"`
	Dry     bool            `json:"dry,omitempty"`
}

// ConfigNode says which version of the pushed configuration a node has in force.
type ConfigNode struct {
	Node    string `json:"node"`
	Version uint64 `json:"version"`          // 0: none
	Why     string `json:"why,omitempty"`    // it cannot take the newest
	Silent  bool   `json:"silent,omitempty"` // it does not answer: Version says nothing
}

// String says of a node that does not have the newest version in force why.
func (n *ConfigNode) String() string {
	switch {
	case n.Silent:
		return n.Node + " does not answer: it judges the version when it is back"
	case n.Why != "":
		return n.Node + " cannot take it: " + n.Why
	case n.Version == 0:
		return n.Node + " has none yet"
	}
	return fmt.Sprintf("%s has version %d still", n.Node, n.Version)
}

// Lacking are the nodes without the version.
func (a *PushAnswer) Lacking() (all []ConfigNode) {
	for _, n := range a.Nodes {
		if n.Version != a.Version || n.Silent {
			all = append(all, n)
		}
	}
	return all
}

// String says it in lines.
func (a *PushAnswer) String() string {
	var b strings.Builder
	for i := range a.Changes {
		b.WriteString(a.Changes[i].String() + "\n")
	}
	switch {
	case a.Dry && len(a.Changes) == 0:
		return "it would change nothing"
	case a.Dry:
		return strings.TrimSuffix(b.String(), "\n")
	}
	return b.String() + a.where()
}

// where says which nodes have it.
func (a *PushAnswer) where() string {
	lacking := a.Lacking()
	line := fmt.Sprintf("version %d is in force on %d of %d nodes", a.Version,
		len(a.Nodes)-len(lacking), len(a.Nodes))
	for i := range lacking {
		line += "\n" + lacking[i].String()
	}
	return line
}

// Failed is nil, or an error that names the nodes that answer and have not taken the version.
func (a *PushAnswer) Failed() error {
	if a.Dry {
		return nil
	}
	var why []string
	for _, n := range a.Lacking() {
		if !n.Silent {
			why = append(why, n.String())
		}
	}
	if len(why) == 0 {
		return nil
	}
	return Fail(ExitTemporary, fmt.Sprintf("version %d is recorded, and not in force everywhere: ",
		a.Version)+strings.Join(why, "; "),
		"`postroad config history` shows who has it; mend the file of a node that cannot take it, "+
			"and reload that")
}

// ConfigVersion is one version of the pushed configuration.
type ConfigVersion struct {
	Version uint64 `json:"version"`
	At      Time   `json:"at"`
	Who     string `json:"who,omitempty"`
	Note    string `json:"note,omitempty"`
	Text    string `json:"text,omitempty"` // not in a history
	// InForce are the nodes that have it in force; Lacking, of the newest version, all others.
	InForce []string     `json:"in_force,omitempty"`
	Lacking []ConfigNode `json:"lacking,omitempty"`
}

// String says it in a line, and one for each node that is to have it and has not.
func (v *ConfigVersion) String() string {
	line := fmt.Sprintf("%-4d %s  %s", v.Version, v.At.Local().Format(time.DateTime), v.Who)
	if v.Note != "" {
		line += "  " + v.Note
	}
	if len(v.InForce) > 0 {
		line += "  in force on " + strings.Join(v.InForce, ", ")
	}
	for i := range v.Lacking {
		line += "\n     " + v.Lacking[i].String()
	}
	return line
}

// ConfigHistory is what is kept of the pushed configuration, the newest version first.
type ConfigHistory struct {
	Versions []ConfigVersion `json:"versions"`
}

// ConfigShown is the configuration in force on a node, with where each value stands.
type ConfigShown struct {
	Node string `json:"node"`
	Text string `json:"text"`
}
