package control

import (
	"fmt"
	"slices"
	"time"

	"github.com/postroad/postroad/internal/rows"
)

// draft is the state that one command makes of the one before. Nothing is written, and the state
// before is untouched, until the command is known to be done.
type draft struct {
	model
	index   uint64
	at      time.Time
	planned bool // something changed that plans depend on
	cluster bool // the rows to write
	tokens  bool
	members []uint16
	groups  []uint64
	slots   []int // of suspensions
	freed   bool  // the last slot of suspensions
	pushed  bool  // the newest version of the configuration
	keys    bool  // those of the cluster
	dropped []uint64
}

// handlers has a row for every command type: what Apply does with it.
var handlers = [newestCommand]func(*draft, *command) Result{
	cmdInit:         (*draft).init,
	cmdAddMember:    (*draft).addMember,
	cmdActivate:     (*draft).activate,
	cmdSetAddress:   (*draft).setAddress,
	cmdSetVersion:   (*draft).setVersion,
	cmdDrain:        (*draft).drain,
	cmdUndrain:      (*draft).undrain,
	cmdRemove:       (*draft).remove,
	cmdReplace:      (*draft).replace,
	cmdAddToken:     (*draft).addToken,
	cmdDropToken:    (*draft).dropToken,
	cmdObserved:     (*draft).observed,
	cmdBootstrapped: (*draft).bootstrapped,
	cmdRetire:       (*draft).retire,
	cmdPlace:        (*draft).place,
	cmdRefound:      (*draft).refound,
	cmdSuspend:      (*draft).suspend,
	cmdResume:       (*draft).resume,
	cmdMakeShards:   (*draft).makeShards,
	cmdPush:         (*draft).push,
	cmdSetKey:       (*draft).setKey,

	cmdSetSealKey:      (*draft).setSealKey,
	cmdNewClusterKey:   (*draft).newClusterKey,
	cmdShareClusterKey: (*draft).shareClusterKey,
	cmdDropClusterKey:  (*draft).dropClusterKey,
}

// Apply applies one command. Called on the apply goroutine. A command that this version does not
// know stops the node: going on would make its state differ from the others'.
func (s *State) Apply(w rows.Writer, index, term uint64, data []byte, parts [][]byte) any {
	kind, c, err := decodeCommand(data)
	if err != nil {
		panic(fmt.Sprintf("control: entry %d is a command that cannot be read: %v", index, err))
	}
	if s.applied == nil {
		if s.applied, err = load(w.Get); err != nil {
			panic(fmt.Sprintf("control: before entry %d: %v", index, err))
		}
	}
	if kind != cmdInit && s.applied.cluster.ID == "" {
		return refuse(Refused, "there is no cluster here yet: run `postroad cluster init`")
	}
	d := &draft{index: index, at: c.At, model: *s.applied}
	d.model.members, d.model.groups = slices.Clone(s.applied.members),
		slices.Clone(s.applied.groups)
	r := handlers[kind](d, c)
	if r.Code == Done && d.finish(w) {
		s.applied, s.pending = &d.model, true
	}
	return r
}

// finish writes the rows that changed; false when none did.
func (d *draft) finish(w rows.Writer) bool {
	if !d.cluster && !d.tokens && len(d.members) == 0 && len(d.groups) == 0 && len(d.slots) == 0 &&
		!d.freed && !d.planned && !d.pushed && !d.keys {
		return false
	}
	d.counts.Version = d.index
	if d.planned {
		d.counts.Planned = d.index
	}
	d.counts.Protocol = max(d.counts.Protocol, d.understood())
	d.hideTokens()
	d.noteShards()
	w.Set(keyCounts, encodeRecord(d.counts))
	if d.cluster {
		w.Set(keyCluster, encodeRecord(d.model.cluster))
	}
	if d.cluster || d.tokens {
		w.Set(keyTokens, encodeRecord(d.model.tokens))
	}
	for _, id := range d.members {
		w.Set(memberKey(id), encodeRecord(d.member(id)))
	}
	for _, id := range d.groups {
		w.Set(groupKey(id), encodeRecord(d.group(id)))
	}
	d.writeSuspensions(w)
	d.writePushed(w)
	if d.keys {
		w.Set(keySecrets, encodeRecord(d.model.keys))
	}
	return true
}

// understood is the newest protocol that all present members understand.
func (d *draft) understood() int {
	low := -1
	for i := range d.model.members {
		if c := &d.model.members[i]; c.State != Removed && (low < 0 || c.Protocol < low) {
			low = c.Protocol
		}
	}
	return max(low, 0)
}

// touch returns a member to be changed.
func (d *draft) touch(id uint16) *Member {
	if !slices.Contains(d.members, id) {
		d.members = append(d.members, id)
	}
	d.planned = true
	return d.member(id)
}

// edit returns a group to be changed. Its slices are replaced, never written to: the state before
// has them too.
func (d *draft) edit(id uint64) *Group {
	if !slices.Contains(d.groups, id) {
		d.groups = append(d.groups, id)
	}
	return d.group(id)
}

// replan returns a group of which what is desired is to be changed.
func (d *draft) replan(id uint64) *Group {
	d.planned = true
	g := d.edit(id)
	g.Plan = d.index
	return g
}

func (d *draft) newMember(n *Node) *Member {
	d.counts.Members++
	id := d.counts.Members
	d.model.members = append(d.model.members, Member{ID: id, Name: n.Name, Address: n.Address,
		Incarnation: n.Incarnation,
		State:       Joining, Joined: d.at, Version: n.Version, Protocol: n.Protocol,
		Key: n.Key})
	return d.touch(id)
}

func (d *draft) newGroup(kind string, home uint16) *Group {
	d.counts.Groups++
	d.model.groups = append(d.model.groups, Group{ID: d.counts.Groups, Kind: kind, Home: home,
		State: GroupNew})
	return d.replan(d.counts.Groups)
}

// present returns a member that was not removed.
func (d *draft) present(id uint16) (*Member, Result) {
	c := d.member(id)
	if c == nil {
		return nil, refuse(Unknown, "there is no member %d", id)
	}
	if c.State == Removed {
		return nil, refuse(Refused, "%s (member %d) was removed from the cluster", c.Name, id)
	}
	return c, Result{}
}
