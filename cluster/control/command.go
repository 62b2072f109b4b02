package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// A command is a version byte, a type byte and JSON: commands are rare, and one can be read in a
// log dump. The version byte tells them from the commands of others in the same group.
const CommandVersion = 0xC1

type commandType byte

const (
	cmdInit commandType = iota + 1
	cmdAddMember
	cmdActivate
	cmdSetAddress
	cmdSetVersion
	cmdDrain
	cmdUndrain
	cmdRemove
	cmdReplace
	cmdAddToken
	cmdDropToken
	cmdObserved
	cmdBootstrapped
	cmdRetire
	cmdPlace
	cmdRefound
	cmdSuspend // from SuspensionsProtocol on
	cmdResume
	cmdMakeShards // from MailboxProtocol on
	cmdPush       // from PushProtocol on
	cmdSetKey     // from KeysProtocol on
	cmdSetSealKey // from SecretsProtocol on
	cmdNewClusterKey
	cmdShareClusterKey
	cmdDropClusterKey
	cmdEnd // one above the last
)

// command has the arguments of every type; each uses its own few.
type command struct {
	At         time.Time      `json:"at"` // command time
	Cluster    *cluster       `json:"cluster,omitempty"`
	Node       *Node          `json:"node,omitempty"`
	Member     uint16         `json:"member,omitempty"`
	Other      uint16         `json:"other,omitempty"`
	Down       []uint16       `json:"down,omitempty"`
	Lost       bool           `json:"lost,omitempty"`
	Token      *Token         `json:"token,omitempty"`
	Group      uint64         `json:"group,omitempty"`
	Seen       *Configuration `json:"seen,omitempty"`
	Place      *Placement     `json:"place,omitempty"`
	Suspension *Suspension    `json:"suspension,omitempty"`
	Shards     int            `json:"shards,omitempty"`
	Pushed     *Pushed        `json:"pushed,omitempty"`
	SealKey    string         `json:"seal_key,omitempty"`
	KeyEpoch   *KeyEpoch      `json:"key_epoch,omitempty"`
}

func encodeCommand(kind commandType, c *command) ([]byte, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return append([]byte{CommandVersion, byte(kind)}, b...), nil
}

// known returns an error when a command is of a newer version or type.
func known(data []byte) error {
	if len(data) < 2 || data[0] != CommandVersion || data[1] == 0 ||
		data[1] >= byte(newestCommand) {
		return fmt.Errorf(
			"a command of the control group that begins with %x is not known; this node is too "+
				"old for its cluster", data[:min(len(data), 2)])
	}
	return nil
}

func decodeCommand(data []byte) (commandType, *command, error) {
	if err := known(data); err != nil {
		return 0, nil, err
	}
	c := new(command)
	if err := json.Unmarshal(data[2:], c); err != nil {
		return 0, nil, err
	}
	kind := commandType(data[1])
	if !c.complete(kind) {
		return 0, nil, errIncomplete
	}
	return kind, c, nil
}

var errIncomplete = errors.New("without its arguments")

// complete reports whether the command has the arguments that its type uses without asking.
func (c *command) complete(kind commandType) bool {
	switch kind {
	case cmdInit:
		return c.Cluster != nil && c.Cluster.ID != "" && c.Node != nil
	case cmdAddMember, cmdSetAddress, cmdSetVersion, cmdSetKey:
		return c.Node != nil
	case cmdAddToken, cmdDropToken:
		return c.Token != nil
	case cmdObserved:
		return c.Seen != nil
	case cmdPlace:
		return c.Place != nil
	case cmdSuspend, cmdResume:
		return c.Suspension != nil && c.Suspension.check() == nil
	case cmdSetSealKey:
		return c.Node != nil && len(c.SealKey) > 0 && len(c.SealKey) <= maxSealKey
	case cmdNewClusterKey, cmdShareClusterKey:
		return c.KeyEpoch != nil && c.KeyEpoch.check() == nil
	case cmdDropClusterKey:
		return c.KeyEpoch != nil
	case cmdPush:
		return c.Pushed != nil && c.Pushed.check() == nil
	}
	return true
}

// Code is how a command ended.
type Code uint8

const (
	Done    Code = iota
	Refused      // makes no sense now
	Unknown      // no such member, group or token
	Exists
	Full
	Busy
	Stale
)

// Result is what Apply returns. AppendResult and ParseResult take it over a network.
type Result struct {
	Code   Code    `json:"code"`
	Words  string  `json:"words,omitempty"`  // of a refusal, for the operator
	Member *Member `json:"member,omitempty"` // that was added
	Index  uint64  `json:"index,omitempty"`  // the version of what was changed
}

func refuse(c Code, format string, args ...any) Result {
	return Result{Code: c, Words: fmt.Sprintf(format, args...)}
}

var causes = map[Code]error{Refused: ErrInvalid, Unknown: ErrUnknown, Exists: ErrExists,
	Full: ErrFull, Busy: ErrBusy, Stale: ErrStale}

// refusal is a Result as an error: its words alone, with its code to ask for by errors.Is.
type refusal struct{ r Result }

func (e *refusal) Error() string { return e.r.Words }

func (e *refusal) Is(target error) bool {
	return target == ErrInvalid || target == causes[e.r.Code]
}

// Err returns the error that a result stands for.
func (r Result) Err() error {
	if r.Code == Done {
		return nil
	}
	return &refusal{r}
}

// AppendResult appends a Result in the form that ParseResult reads.
func AppendResult(b []byte, result any) []byte {
	r, ok := result.(Result)
	if !ok {
		panic(fmt.Sprintf("control: %T is not what Apply returns", result))
	}
	return append(b, encodeRecord(r)...)
}

// ParseResult returns the Result that AppendResult wrote.
func ParseResult(b []byte) (any, error) {
	var r Result
	if err := decodeRecord(b, &r); err != nil {
		return nil, fmt.Errorf("a result of the control group: %w", err)
	}
	return r, nil
}
