package operator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/operate/admin/api"
)

// A configuration that is pushed is judged by every member that answers before it is recorded: each
// merges it with its own file. One that refuses refuses the whole, and nothing has changed
// anywhere. A member that is away judges when it is back, by itself (node/pushed.go).

// configPath is where a member says whether it could take a configuration. One of a version before
// protocol 5 answers 404.
const configPath = "/node/config"

// configCheck is what a member is asked, configJudgement what it answers.
type configCheck struct {
	Name    string `json:"name"`
	Version uint64 `json:"version"`
	Text    string `json:"text"`
}

type configJudgement struct {
	Why string `json:"why,omitempty"` // it could not take it
}

// checkWait is how long a member may take to judge.
const checkWait = 5 * time.Second

// forceWait is how long a push waits until the members that answer have it in force.
const forceWait = 6 * time.Second

// Push implements admin.Configs.
func (op *Operator) Push(
	ctx context.Context, r *api.PushRequest,
) (a api.PushAnswer, err error) {
	if err := op.o.State.Needs(control.PushProtocol, "a pushed configuration"); err != nil {
		return a, said(err)
	}
	last, _ := op.o.State.LastPushed()
	if r.Seen != nil && *r.Seen != last.Version {
		return a, api.Fail(api.ExitData, fmt.Sprintf("version %d is in force by now, and not %d",
			last.Version, *r.Seen), "`postroad config diff` shows what was changed")
	}
	next, err := op.nextPushed(r, last.Version+1)
	if err != nil {
		return a, err
	}
	a.Version, a.Dry = next.Version, r.Dry
	if next.Text == last.Text {
		a.Version = last.Version // in force already
	} else {
		check := configCheck{cmp.Or(r.Name, "the configuration"), next.Version, next.Text}
		if a.Changes, err = op.judged(ctx, check); err != nil {
			return a, err
		}
		if r.Dry {
			a.Version = last.Version
			return a, nil
		}
		_, err = op.record(ctx, func(ctx context.Context) (uint64, error) {
			return next.Version, op.o.Changes.Push(ctx, next)
		})
		if err != nil {
			return a, said(err)
		}
	}
	if r.Dry {
		return a, nil
	}
	ctx, cancel := context.WithTimeout(ctx, forceWait)
	defer cancel()
	for {
		a.Nodes = op.configNodes(ctx)
		waits := slices.ContainsFunc(a.Nodes, func(n api.ConfigNode) bool {
			return !n.Silent && n.Version != a.Version && n.Why == ""
		})
		if !waits || !clock.Pause(ctx, 100*time.Millisecond) {
			return a, nil
		}
	}
}

// nextPushed is what is to be recorded.
func (op *Operator) nextPushed(r *api.PushRequest, version uint64) (control.Pushed, error) {
	p := control.Pushed{Version: version, Text: r.Text, Who: r.Who, Note: r.Note}
	if r.Rollback > 0 {
		v, err := op.ConfigVersion(r.Rollback)
		if err != nil {
			return p, err
		}
		p.Text = v.Text
		p.Note = cmp.Or(p.Note, fmt.Sprintf("rollback to version %d", r.Rollback))
	}
	return p, nil
}

// judged has every member that answers judge a configuration, and returns what it would change on
// this one. Each that could not take it is named; what is wrong with the file itself is told once.
func (op *Operator) judged(ctx context.Context, check configCheck) ([]config.Change, error) {
	ctx, cancel := context.WithTimeout(ctx, checkWait)
	defer cancel()
	s, err := config.ParseShared(check.Name, check.Version, check.Text)
	if err != nil {
		return nil, noneChanged(err.Error())
	}
	changes, own := op.o.WouldChange(s)
	members := op.o.State.Members()
	said := make([][]string, len(members))
	var all sync.WaitGroup
	for i, m := range members {
		switch {
		case m.ID != op.o.Member:
			all.Go(func() { said[i] = named(m.Name, op.askJudge(ctx, m.ID, check)) })
		case own != nil:
			said[i] = named(m.Name, own.Error())
		}
	}
	all.Wait()
	if why := slices.Concat(said...); len(why) > 0 {
		return nil, noneChanged(strings.Join(why, "\n"))
	}
	return changes, nil
}

func noneChanged(why string) error {
	return api.Fail(api.ExitData, why, "nothing was changed on any node")
}

// named are the lines of what a node says against a configuration.
func named(node, why string) (lines []string) {
	if why == "" {
		return nil
	}
	for line := range strings.SplitSeq(why, "\n") {
		lines = append(lines, node+": "+line)
	}
	return lines
}

// askJudge asks another member; "": it could take the configuration, or is away.
func (op *Operator) askJudge(ctx context.Context, id uint16, check configCheck) string {
	var j configJudgement
	err := op.o.Ask(ctx, id, http.MethodPost, configPath, check, &j)
	var said *cluster.Answer
	if errors.As(err, &said) && said.Status == http.StatusNotFound {
		return "its version of Postroad does not know pushed configurations: upgrade it first"
	}
	if errors.As(err, &said) && said.Status == http.StatusBadRequest {
		return "it cannot read the question: " + said.Error()
	}
	if err != nil {
		return ""
	}
	return j.Why
}

// judge says whether this node could take a configuration.
func (op *Operator) judge(check configCheck) string {
	s, err := config.ParseShared(check.Name, check.Version, check.Text)
	if err == nil {
		_, err = op.o.WouldChange(s)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// serveJudge answers a member that asks whether this one could take a configuration.
func (op *Operator) serveJudge(w http.ResponseWriter, r *http.Request) {
	var check configCheck
	// as JSON a text is at most six times as long
	body := http.MaxBytesReader(w, r.Body, 6*config.MaxShared+1<<12)
	if err := json.NewDecoder(body).Decode(&check); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_ = json.NewEncoder(w).Encode(configJudgement{op.judge(check)})
}

// configNodes says of each member which version it has in force.
func (op *Operator) configNodes(ctx context.Context) (all []api.ConfigNode) {
	reports := op.reports(ctx)
	for _, m := range op.o.State.Members() {
		n := api.ConfigNode{Node: m.Name, Silent: true}
		if r := reports[m.ID]; r != nil {
			n.Version, n.Why, n.Silent = r.Config, r.ConfigWhy, false
		}
		all = append(all, n)
	}
	return all
}

// ConfigHistory implements admin.Configs.
func (op *Operator) ConfigHistory(ctx context.Context) []api.ConfigVersion {
	nodes := op.configNodes(ctx)
	all := []api.ConfigVersion{}
	for i, p := range slices.Backward(op.o.State.Pushed()) {
		v := versionOf(p)
		v.Text = ""
		for _, n := range nodes {
			switch newest := i == len(op.o.State.Pushed())-1; {
			case !n.Silent && n.Version == v.Version:
				v.InForce = append(v.InForce, n.Node)
			case newest:
				v.Lacking = append(v.Lacking, n)
			}
		}
		all = append(all, v)
	}
	return all
}

// ConfigVersion implements admin.Configs.
func (op *Operator) ConfigVersion(version uint64) (api.ConfigVersion, error) {
	if version == 0 {
		last, _ := op.o.State.LastPushed()
		return versionOf(last), nil
	}
	for _, p := range op.o.State.Pushed() {
		if p.Version == version {
			return versionOf(p), nil
		}
	}
	return api.ConfigVersion{}, api.Fail(api.ExitData,
		fmt.Sprintf("there is no version %d of the pushed configuration", version),
		fmt.Sprintf("`postroad config history` lists the last %d", control.MaxPushed))
}

func versionOf(p control.Pushed) api.ConfigVersion {
	return api.ConfigVersion{
		Version: p.Version, At: api.At(p.At), Who: p.Who, Note: p.Note, Text: p.Text,
	}
}
