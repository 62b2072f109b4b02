package api

import "strings"

// ReloadRequest asks for the configuration file to be read again.
type ReloadRequest struct {
	All bool `json:"all,omitempty"` // by every node, each its own file
}

// ReloadAnswer says what came of it on each node that was asked.
type ReloadAnswer struct {
	Nodes []Reloaded `json:"nodes"`
}

// Reloaded says what came of a reload on one node.
type Reloaded struct {
	Node    string   `json:"node"`
	Changed []string `json:"changed,omitempty"` // keys whose new values are in force
	Restart []string `json:"restart,omitempty"` // keys whose new values wait for a restart
	Error   string   `json:"error,omitempty"`   // why nothing changed there
	Silent  bool     `json:"silent,omitempty"`  // it did not answer: it may have done it
}

// String says it in a line.
func (n *Reloaded) String() string {
	line := n.Node + ": "
	switch {
	case n.Silent:
		return line + "it did not answer"
	case n.Error != "":
		return line + "nothing changed"
	case len(n.Changed) == 0:
		line += "nothing to change"
	default:
		line += strings.Join(n.Changed, ", ") + " changed"
	}
	if len(n.Restart) > 0 {
		line += "; a change of " + strings.Join(n.Restart, ", ") + " takes a restart"
	}
	return line
}

// Failed is nil, or an error that names the nodes on which nothing changed (78), or that did not
// answer (75).
func (a *ReloadAnswer) Failed() error {
	exit := ExitTemporary
	var why []string
	for i := range a.Nodes {
		n := &a.Nodes[i]
		if n.Error == "" {
			continue
		}
		why = append(why, n.Node+": "+n.Error)
		if !n.Silent {
			exit = ExitConfig
		}
	}
	if len(why) == 0 {
		return nil
	}
	hint := "mend the file and try again; such a node goes on with what it had"
	if exit == ExitTemporary {
		hint = "try again when they answer"
	}
	return Fail(exit, strings.Join(why, "\n"), hint)
}
