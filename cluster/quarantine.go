package cluster

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/postroad/postroad/cluster/logstore"
)

// A member that may have forgotten what it acknowledged is in quarantine: it takes the log from a
// leader as ever, and its answers to that count, for they are true. But it does not stand for
// election, and it votes for nobody who could lack what it has forgotten: with its vote a member
// that lags could be elected, and give up what this one had helped to commit. There is a closed
// list of reasons (Why), and each has a place in the log, its floor, that ends it: whoever has at
// least so much has all that this member ever helped to commit. A candidate that has can be voted
// for meanwhile.
//
// Where the floor is known by hearing from the others (Hear), it begins after all entries of this
// member's present term: an entry of a later term was brought by a leader that was elected without
// this member. It falls to the most that the others have as soon as all other voters were heard,
// for one of them has whatever was committed; or one that leads now; or one that led in this
// member's term or later, and so has all that this member took (protocol-aware recovery: Alagappan
// et al., FAST 2018). Who is in quarantine itself is not believed.

// Why is why a member is in quarantine.
type Why string

// The reasons.
const (
	// it was let go by the group, was taken in again, and has less than before (rejoin.go)
	CameBack Why = "came back"
	// the last block of its log does not verify, and this was no loss of power
	DamagedTail Why = "damaged tail"
	Behind      Why = "behind" // the others remember that it acknowledged more than it has
)

var whyWords = map[Why]string{
	CameBack: "it has less of the log than when it was a member before",
	DamagedTail: "the last block of its log is damaged, " +
		"and it may have acknowledged what was in it",
	Behind: "its log ends before what it had acknowledged: was its disk rolled back?",
}

// Doubt is one reason for which a member is in quarantine.
type Doubt struct {
	Why        Why
	Since      time.Time
	FloorTerm  uint64
	FloorIndex uint64
	Hear       bool `json:",omitempty"` // the others have not been heard yet
	// those of them that did not answer, or are in quarantine themselves
	Unheard []uint16 `json:",omitempty"`
}

func (d *Doubt) floor() position { return position{d.FloorTerm, d.FloorIndex} }

// String says for operators what the doubt is and what ends it.
func (d *Doubt) String() string {
	s := "it neither votes nor stands for election: " + whyWords[d.Why]
	if d.Hear {
		return s + "; it asks the others for what they have" + unheard(d.Unheard)
	}
	return fmt.Sprintf(
		"%s; it gets that from the others, "+
			"and takes part again once it has all (entry %d, term %d)",
		s,
		d.FloorIndex,
		d.FloorTerm,
	)
}

func unheard(members []uint16) string {
	if len(members) == 0 {
		return ""
	}
	var names []string
	for _, m := range members {
		names = append(names, fmt.Sprint(m))
	}
	return ", and has no answer that counts from member " + strings.Join(names, ", ")
}

// doubtsKey is where a group keeps its doubts, all but that of an incarnation before, as JSON: a
// restart must not end them.
const doubtsKey = "doubts"

// quarantine is what a member doubts of itself in one group, and what it can tell others that
// doubt.
type quarantine struct {
	led atomic.Uint64 // the newest term in which this process led the group

	mu     sync.Mutex
	doubts []Doubt
	asking bool                       // inquire runs
	acked  map[raft.ServerID]position // what others acknowledged to this process as their leader
}

// Doubt puts this member in quarantine, durably. A second doubt with the same reason adds to the
// first what reaches further.
func (g *Group) Doubt(d Doubt) error {
	q := &g.quarantine
	q.mu.Lock()
	defer q.mu.Unlock()
	q.doubts = merge(q.doubts, d)
	g.inquireLocked()
	return keepDoubts(g.log, q.doubts)
}

// addDoubt does the same before there is a Group.
func addDoubt(log *logstore.Group, d Doubt) error {
	doubts, err := readDoubts(log)
	if err != nil {
		return err
	}
	return keepDoubts(log, merge(doubts, d))
}

func merge(doubts []Doubt, d Doubt) []Doubt {
	i := slices.IndexFunc(doubts, func(o Doubt) bool { return o.Why == d.Why })
	if i < 0 {
		return append(doubts, d)
	}
	o := &doubts[i]
	if o.floor().before(d.floor()) {
		o.FloorTerm, o.FloorIndex = d.FloorTerm, d.FloorIndex
	}
	o.Hear = o.Hear || d.Hear
	return doubts
}

func keepDoubts(log *logstore.Group, doubts []Doubt) error {
	kept := slices.DeleteFunc(slices.Clone(doubts), func(d Doubt) bool { return d.Why == CameBack })
	var v []byte
	if len(kept) > 0 {
		var err error
		if v, err = json.Marshal(kept); err != nil {
			return err
		}
	}
	return log.SetAll(map[string][]byte{doubtsKey: v})
}

func readDoubts(log *logstore.Group) (doubts []Doubt, err error) {
	v, err := log.Get([]byte(doubtsKey))
	if err == nil && len(v) > 0 {
		err = json.Unmarshal(v, &doubts)
	}
	return doubts, err
}

// loadDoubts reads what was doubted before the last stop. The group does not run yet.
func (g *Group) loadDoubts() error {
	doubts, err := readDoubts(g.log)
	floor, err2 := g.positionAt(floorKey)
	if err = errors.Join(err, err2); err != nil {
		return fmt.Errorf("doubts of group %d: %w", g.id, err)
	}
	if g.position().before(floor) {
		doubts = append(
			doubts,
			Doubt{Why: CameBack, Since: time.Now(), FloorTerm: floor.term, FloorIndex: floor.index},
		)
	}
	g.quarantine.mu.Lock()
	defer g.quarantine.mu.Unlock()
	g.quarantine.doubts = doubts
	return nil
}

// Doubts are the reasons why this member is in quarantine; none: it is not.
func (g *Group) Doubts() []Doubt {
	q := &g.quarantine
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.doubts) == 0 {
		return nil
	}
	has, n := g.position(), len(q.doubts)
	q.doubts = slices.DeleteFunc(q.doubts, func(d Doubt) bool {
		over := !has.before(d.floor())
		if over {
			g.node.opts.Logf(
				"group %d: this node has all that it may have forgotten (%s)",
				g.id,
				d.Why,
			)
		}
		return over
	})
	if len(q.doubts) < n {
		if err := keepDoubts(g.log, q.doubts); err != nil {
			g.node.opts.Logf(
				"group %d: noting the end of a doubt: %v",
				g.id,
				err,
			) // it ends again after the next start
		}
	}
	return slices.Clone(q.doubts)
}

var errQuarantine = errors.New("this member may have forgotten what it acknowledged")

// mayCampaign says why this member does not stand for election, or returns nil.
func (g *Group) mayCampaign() error { return g.mayVote(g.position()) }

// mayVote says why this member does not answer a candidate with such a log, or returns nil.
func (g *Group) mayVote(candidate position) error {
	for _, d := range g.Doubts() {
		if candidate.before(d.floor()) {
			return fmt.Errorf("%w: %s", errQuarantine, &d)
		}
	}
	return nil
}

// spendVote notes that this member has voted in a term, for nobody: it may have voted for somebody,
// and forgotten it. Raft looks at the note at each vote.
func spendVote(log *logstore.Group, term uint64) error {
	voted, err := log.GetUint64([]byte("LastVoteTerm"))
	if err != nil || voted > term {
		return err
	}
	return log.SetAll(
		map[string][]byte{
			"LastVoteTerm": binary.LittleEndian.AppendUint64(nil, term),
			"LastVoteCand": []byte("nobody"),
		},
	)
}

// needsOthers refuses a member in quarantine that no other can help. It runs before the group does:
// a sole voter elects itself.
func (g *Group) needsOthers(conf *raft.Config) error {
	doubts := g.Doubts()
	if len(doubts) == 0 {
		return nil
	}
	if alone, err := g.alone(conf); !alone || err != nil {
		return err
	}
	return fmt.Errorf(
		"%w: group %d: %s, and no other node has it",
		logstore.ErrLost,
		g.id,
		whyWords[doubts[0].Why],
	)
}

// Alone reports whether this member is the group's only voter by its log. The group does not run
// yet.
func (g *Group) Alone() (bool, error) { return g.alone(g.node.raftConfig()) }

func (g *Group) alone(conf *raft.Config) (bool, error) {
	c, err := g.configured(conf)
	if err != nil {
		return false, err
	}
	self := raft.Server{ID: g.serverID(), Address: raft.ServerAddress(g.serverID())} // it votes
	other := func(s raft.Server) bool { return s.Suffrage == raft.Voter && s != self }
	return slices.Contains(c.Servers, self) && !slices.ContainsFunc(c.Servers, other), nil
}

// configured are the group's members by this member's log. The group does not run yet.
func (g *Group) configured(conf *raft.Config) (raft.Configuration, error) {
	_, alone := raft.NewInmemTransport("")
	copied := *conf // it is changed
	c, err := raft.GetConfiguration(&copied, &g.fsm, g.log, g.log, markers{g}, alone)
	if err != nil {
		return c, fmt.Errorf("read the members of group %d: %w", g.id, err)
	}
	return c, nil
}

// forgetDoubts takes what is here for all there is.
func (g *Group) forgetDoubts() error {
	g.quarantine.mu.Lock()
	defer g.quarantine.mu.Unlock()
	g.quarantine.doubts = nil
	return g.log.SetAll(map[string][]byte{doubtsKey: nil, floorKey: nil, takenBackKey: nil})
}
