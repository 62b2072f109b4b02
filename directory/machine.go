package directory

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/postroad/postroad/internal/rows"
)

// A command is a version byte, a type byte and JSON: commands are rare, and one can be read in a
// log dump.
const commandVersion = 1

type commandType byte

const (
	cmdAdd          commandType = iota + 1 // a User
	cmdPut                                 // a User that replaces the one of that name
	cmdRemove                              // a name
	cmdAddDomain                           // a Domain
	cmdPutDomain                           // a Domain that replaces the one of that name
	cmdRemoveDomain                        // a name
	cmdAddAlias                            // an Alias
	cmdPutAlias                            // an Alias that replaces the one of that name
	cmdRemoveAlias                         // a name
	cmdImport                              // an importCommand with users
	cmdCommit                              // an importCommand with names
	cmdDiscard                             // an importCommand with names
	cmdAddKey                              // a SigningKey; from control.SecretsProtocol on
	cmdPutKey                              // a SigningKey that replaces the one of that name
	cmdRemoveKey                           // a name
	cmdEnd                                 // one above the last
)

// what is what a command of one row does.
type what byte

const (
	add what = iota + 1
	put
	remove
)

// rowCommands are the commands that change one row of a table.
var rowCommands = [cmdEnd]struct {
	what  what
	table tableName
}{
	cmdAdd: {add, users}, cmdPut: {put, users}, cmdRemove: {remove, users},
	cmdAddDomain: {add, domains}, cmdPutDomain: {put, domains}, cmdRemoveDomain: {remove, domains},
	cmdAddAlias: {add, aliases}, cmdPutAlias: {put, aliases}, cmdRemoveAlias: {remove, aliases},
	cmdAddKey: {add, signingKeys}, cmdPutKey: {put, signingKeys},
	cmdRemoveKey: {remove, signingKeys},
}

// Result is what Apply returns. It is a plain number, so that it can cross a network.
type Result uint8

const (
	Done Result = iota
	Exists
	NoUser
	Full
	AliasExists
	NoAlias
	DomainExists
	NoDomain
	KeyExists
	NoKey
)

// results are what the refusals stand for.
var results = map[Result]error{
	Done: nil, Exists: ErrExists, NoUser: ErrUnknown, Full: ErrFull,
	AliasExists: ErrAliasExists, NoAlias: ErrUnknownAlias, DomainExists: ErrDomainExists,
	NoDomain: ErrUnknownDomain, KeyExists: ErrKeyExists, NoKey: ErrUnknownKey,
}

// Err returns the error that a result stands for.
func (r Result) Err() error {
	err, known := results[r]
	if !known {
		return fmt.Errorf("directory: unknown result %d", r)
	}
	return err
}

// fullBatch stands for a batch that found no place; a batch is smaller.
const fullBatch = 255

// AppendResult writes what Apply returned, in one octet or two; ok is false for what is no answer
// of a directory.
func AppendResult(b []byte, result any) (with []byte, ok bool) {
	switch r := result.(type) {
	case Result:
		return append(b, byte(r)), true
	case Batch:
		if r.Full {
			r.Moved = fullBatch
		}
		return append(b, r.Moved, r.Kept), true
	}
	return b, false
}

// ParseResult returns what AppendResult wrote.
func ParseResult(b []byte) (result any, ok bool) {
	switch len(b) {
	case 1:
		return Result(b[0]), true
	case 2:
		return Batch{Moved: b[0], Kept: b[1], Full: b[0] == fullBatch}, true
	}
	return nil, false
}

// A stored record is a version byte and JSON. Members that a row of an older version lacks have
// their zero values.
const recordVersion = 1

func encodeRecord(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("directory: encoding %+v: %v", v, err)) // plain values only
	}
	return append([]byte{recordVersion}, b...)
}

func decodeRecord(b []byte, into any) error {
	if len(b) == 0 || b[0] != recordVersion {
		return errors.New("a record of an unknown version")
	}
	return json.Unmarshal(b[1:], into)
}

func encodeCommand(kind commandType, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append([]byte{commandVersion, byte(kind)}, b...), nil
}

// Apply applies one command. Called on the apply goroutine. A command that this version does not
// know stops the node: going on would make its state differ from the others'.
func (d *Directory) Apply(w rows.Writer, index, term uint64, data []byte, parts [][]byte) any {
	if err := Understands(data); err != nil {
		panic(
			fmt.Sprintf(
				"directory: entry %d: %v; this node is too old for its cluster",
				index,
				err,
			),
		)
	}
	kind := commandType(data[1])
	if c := rowCommands[kind]; c.what != 0 {
		return d.applyRow(w, index, c.what, d.tables[c.table], data[2:])
	}
	var c importCommand
	mustDecode(index, data[2:], &c)
	switch kind {
	case cmdImport:
		return d.applyImport(w, &c)
	case cmdCommit:
		return d.applyCommit(w, index, &c)
	default:
		return d.applyDiscard(w, &c)
	}
}

// Understands returns why this program cannot apply a command, if that is of a newer version or
// kind.
func Understands(data []byte) error {
	if len(data) < 2 || data[0] != commandVersion || data[1] == 0 ||
		commandType(data[1]) >= cmdEnd {
		return fmt.Errorf(
			"a command about users that begins with %x is not known",
			data[:min(len(data), 2)],
		)
	}
	return nil
}

// Restore returns the command that writes a row of a backup again; ok is false for rows that are no
// user's, domain's, alias's or signing key's.
func Restore(key, value []byte) (command []byte, ok bool) {
	for kind, c := range rowCommands {
		if c.what != add || len(key) == 0 || key[0] != prefixes[c.table] {
			continue
		}
		r := fresh[c.table]()
		if decodeRecord(value, r) != nil {
			return nil, false
		}
		command, err := encodeCommand(commandType(kind), r)
		return command, err == nil
	}
	return nil, false
}

func mustDecode(index uint64, data []byte, v any) {
	if err := json.Unmarshal(data, v); err != nil {
		panic(fmt.Sprintf("directory: entry %d cannot be read: %v", index, err))
	}
}

func (d *Directory) applyRow(w rows.Writer, index uint64, do what, t *table, data []byte) Result {
	if do == remove {
		var name string
		mustDecode(index, data, &name)
		return d.applyRemove(w, t, name)
	}
	r := fresh[t.name]()
	mustDecode(index, data, r)
	return d.applyPut(w, index, t, r, do == add)
}

// applyPut writes a record. A user and an alias never have one name: it would not be clear whose
// mail it is.
func (d *Directory) applyPut(w rows.Writer, index uint64, t *table, r record, isNew bool) Result {
	key := t.key(r.id())
	_, known := w.Get(key)
	switch {
	case isNew && known:
		return t.exists
	case !isNew && !known:
		return t.missing
	case isNew:
		if r := d.taken(w, t, r.id()); r != Done {
			return r
		}
		n := count(w, t.count)
		if n >= t.limit {
			return Full
		}
		setCount(w, t.count, n+1)
	}
	r.stamp(index)
	w.Set(key, encodeRecord(r))
	d.pending = append(d.pending, change{t, r.id(), r})
	return Done
}

// taken reports whether a name is in use in the table with which t shares its names.
func (d *Directory) taken(w rows.Writer, t *table, name string) Result {
	other := d.tables[users]
	switch t.name {
	case users:
		other = d.tables[aliases]
	case domains, signingKeys:
		return Done
	}
	if _, known := w.Get(other.key(name)); known {
		return other.exists
	}
	return Done
}

func (d *Directory) applyRemove(w rows.Writer, t *table, name string) Result {
	if _, known := w.Get(t.key(name)); !known {
		return t.missing
	}
	w.Delete(t.key(name))
	setCount(w, t.count, count(w, t.count)-1)
	d.pending = append(d.pending, change{t, name, nil})
	return Done
}

func count(w rows.Writer, key []byte) uint64 {
	v, ok := w.Get(key)
	if !ok {
		return 0
	}
	if len(v) != 8 {
		panic("directory: the number of records is not a number")
	}
	return binary.BigEndian.Uint64(v)
}

func setCount(w rows.Writer, key []byte, n uint64) {
	w.Set(key, binary.BigEndian.AppendUint64(nil, n))
}
