package control

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// model is the whole state at one index. Immutable once it is in the view; members and groups are
// dense, because numbers are given in order and never again.
type model struct {
	cluster     cluster
	counts      counts
	tokens      []Token
	members     []Member     // number 1 first
	groups      []Group      // number 1 first
	suspensions []Suspension // in no order
	pushed      []Pushed     // the oldest first, without gaps
	keys        []KeyEpoch   // of the cluster, the oldest first
	shards      []uint64     // the group of each; made of groups
}

// cluster is what hardly ever changes after Init.
type cluster struct {
	ID     string `json:"id"`
	CACert []byte `json:"ca_cert"` // PEM
	CAKey  []byte `json:"ca_key"`  // PEM
	newer
}

// counts are the figures that change with every command.
type counts struct {
	Members uint16 `json:"members"` // numbers given
	Groups  uint64 `json:"groups"`  // numbers given
	Version uint64 `json:"version"` // log index of the last change
	// log index of the last change that a plan depends on
	Planned uint64 `json:"planned"`
	// that every member has understood at some time; never falls
	Protocol    int `json:"protocol"`
	Suspensions int `json:"suspensions,omitempty"` // in force
	// their version: the log index of their last change, or above
	Suspended uint64 `json:"suspended,omitempty"`
	// of the mailboxes; 0: none yet. Once given it stays
	Shards int `json:"shards,omitempty"`
	// the newest version of the pushed configuration, and how many are kept
	Pushed     uint64 `json:"pushed,omitempty"`
	PushedKept int    `json:"pushed_kept,omitempty"`
}

func (m *model) member(id uint16) *Member {
	if id == 0 || int(id) > len(m.members) {
		return nil
	}
	return &m.members[id-1]
}

func (m *model) group(id uint64) *Group {
	if id == 0 || id > uint64(len(m.groups)) {
		return nil
	}
	return &m.groups[id-1]
}

// named returns the present member of that name.
func (m *model) named(name string) *Member {
	for i := range m.members {
		if c := &m.members[i]; c.Name == name && c.State != Removed {
			return c
		}
	}
	return nil
}

// hasMail tells the groups that are spread over the members and keep mail.
func (g *Group) hasMail() bool { return g.Kind == KindQueue || g.Kind == KindMailbox }

// home returns the group of a member's own mail. There is at most one that is not retired.
func (m *model) home(id uint16) *Group {
	for i := range m.groups {
		if g := &m.groups[i]; g.Kind == KindQueue && g.Home == id && g.State != GroupRetired {
			return g
		}
	}
	return nil
}

// in returns the members in one of the states.
func (m *model) in(states ...MemberState) []uint16 {
	var ids []uint16
	for i := range m.members {
		if slices.Contains(states, m.members[i].State) {
			ids = append(ids, m.members[i].ID)
		}
	}
	return ids
}

// Rows: "cc" cluster, "cn" counts, "ct" tokens, "ck" the cluster's keys, "cm" and a number a
// member, "cg" and a number a group, "cs" and a slot a suspension, "cv" and a version a pushed
// configuration.
var (
	keyFrom    = []byte{'c'}
	keyTo      = []byte{'c' + 1}
	keyCluster = []byte("cc")
	keyCounts  = []byte("cn")
	keyTokens  = []byte("ct")
	keySecrets = []byte("ck")
)

func memberKey(id uint16) []byte { return binary.BigEndian.AppendUint16([]byte("cm"), id) }

func groupKey(id uint64) []byte { return binary.BigEndian.AppendUint64([]byte("cg"), id) }

// A row's value is a version byte and JSON.
const recordVersion = 1

func encodeRecord(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("control: encoding %T: %v", v, err)) // plain values only
	}
	return append([]byte{recordVersion}, b...)
}

func decodeRecord(b []byte, v any) error {
	if len(b) == 0 || b[0] != recordVersion {
		return errors.New("a record of an unknown version; this node is too old for its cluster")
	}
	return json.Unmarshal(b[1:], v)
}

// load builds the model from its rows. With no rows it is empty.
func load(get func(key []byte) ([]byte, bool)) (*model, error) {
	m := new(model)
	read := func(key []byte, v any) error {
		b, ok := get(key)
		if !ok {
			return fmt.Errorf("row %q is missing", key)
		}
		if err := decodeRecord(b, v); err != nil {
			return fmt.Errorf("row %q: %w", key, err)
		}
		return nil
	}
	if _, ok := get(keyCounts); !ok {
		return m, nil
	}
	if err := errors.Join(read(keyCounts, &m.counts), read(keyCluster, &m.cluster),
		read(keyTokens, &m.tokens)); err != nil {
		return nil, err
	}
	if m.counts.Groups > maxGroup {
		return nil, fmt.Errorf("row %q: %d groups are more than there can be", keyCounts,
			m.counts.Groups)
	}
	if m.counts.Shards < 0 || m.counts.Shards > MaxShards {
		return nil, fmt.Errorf("row %q: %d shards are more than there can be", keyCounts,
			m.counts.Shards)
	}
	m.members, m.groups = make([]Member, m.counts.Members), make([]Group, m.counts.Groups)
	for i := range m.members {
		id := uint16(i + 1)
		if err := read(memberKey(id), &m.members[i]); err != nil {
			return nil, err
		}
		if m.members[i].ID != id {
			return nil, fmt.Errorf("the row of member %d is that of member %d", id, m.members[i].ID)
		}
	}
	for i := range m.groups {
		id := uint64(i + 1)
		if err := read(groupKey(id), &m.groups[i]); err != nil {
			return nil, err
		}
		if m.groups[i].ID != id {
			return nil, fmt.Errorf("the row of group %d is that of group %d", id, m.groups[i].ID)
		}
	}
	m.noteShards()
	return m, errors.Join(m.loadSuspensions(read), m.loadPushed(read), m.loadKeys(get))
}
