package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/internal/config"
)

// reloaded is what came of a reload: the keys that changed, and those whose change waits for a
// restart.
type reloaded struct {
	changed, restart []string
	err              error
}

// reloadStats says how reloads went, whoever asked for them: SIGHUP, an operator, or a
// configuration that was pushed.
type reloadStats struct {
	taken, refused atomic.Uint64
	at             atomic.Int64 // when the configuration in force was taken, Unix milliseconds
}

func (s *reloadStats) note(now time.Time, err error) {
	if err != nil {
		s.refused.Add(1)
		return
	}
	s.taken.Add(1)
	s.at.Store(now.UnixMilli())
}

// askReload has serve reload the configuration, as SIGHUP does. Safe for use by several goroutines.
func (n *node) askReload() (changed, restart []string, err error) {
	asked := make(chan reloaded, 1)
	select {
	case n.reloads <- asked:
		r := <-asked
		return r.changed, r.restart, r.err
	case <-n.background.Done():
		return nil, nil, errors.New("this node is stopping")
	}
}

// reload reads the configuration again. A bad file changes nothing and is reported. It is for the
// goroutine of serve.
func (n *node) reload() (r reloaded) {
	n.logNotifyErr(n.service.Reloading())
	defer func() { n.logNotifyErr(n.service.Ready(n.listening())) }()
	r, err := n.reconfigure()
	if err != nil {
		n.log.Errorf("the configuration was not reloaded: %v", err)
		return reloaded{err: err}
	}
	n.log.Logf("the configuration was reloaded: %s", changedKeys(r.changed))
	for _, key := range r.restart {
		n.log.Logf("a change of %s takes a restart", key)
	}
	return r
}

// changedKeys are the first of some keys, and how many more there are.
func changedKeys(keys []string) string {
	const most = 12
	switch n := len(keys) - most; {
	case len(keys) == 0:
		return "nothing changed"
	case n > 0:
		return fmt.Sprintf("%s and %d more changed", strings.Join(keys[:most], ", "), n)
	}
	return strings.Join(keys, ", ") + " changed"
}

// plan is a reload in two parts: what each room has made ready, and what gives it up again.
type plan struct{ do, undo []func() }

// then adds what puts a room's part in force. It must not fail.
func (p *plan) then(do func()) { p.do = append(p.do, do) }

// orElse adds what gives up a room's part, for when a room after it refuses its own.
func (p *plan) orElse(undo func()) { p.undo = append(p.undo, undo) }

// reconfigure puts the file's values in force: first every room looks at them, then every room
// takes them, so that a file that one of them refuses changes nothing.
func (n *node) reconfigure() (r reloaded, err error) {
	defer func() { n.reloading.note(n.now(), err) }()
	file, err := n.load()
	if err != nil {
		return r, err
	}
	if err := file.CheckFiles(n.file); err != nil {
		return r, err
	}
	before := n.cfg()
	next := config.Reloaded(before, file)
	var p plan
	for _, room := range []func(*config.Config, *plan) error{
		n.planPolicy, n.planServers, n.planListeners, n.planOperators, n.planOutside,
		n.planDelivery,
	} {
		if err := room(next, &p); err != nil {
			for _, undo := range slices.Backward(p.undo) {
				undo()
			}
			return r, err
		}
	}
	n.live.Store(next)
	for _, do := range p.do {
		do()
	}
	n.warn(next)
	n.warnOfBoth(next)
	for _, c := range config.Diff(before, next) {
		r.changed = append(r.changed, c.Key)
	}
	r.restart = config.Restart(config.Diff(before, file))
	return r, nil
}
