package directory

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/postroad/postroad/internal/rows"
)

// A command is a version byte, a type byte and JSON: commands are rare, and one can be read in a log dump.
const commandVersion = 1

type commandType byte

const (
	cmdAdd    commandType = iota + 1 // a User
	cmdPut                           // a User that replaces the one of that name
	cmdRemove                        // a name
	cmdEnd                           // one above the last
)

// Result is what Apply returns. It is a plain number, so that it can cross a network.
type Result uint8

const (
	Done Result = iota
	Exists
	NoUser
	Full
)

// Err returns the error that a result stands for.
func (r Result) Err() error {
	switch r {
	case Done:
		return nil
	case Exists:
		return ErrExists
	case NoUser:
		return ErrUnknown
	case Full:
		return ErrFull
	}
	return fmt.Errorf("directory: unknown result %d", r)
}

// Keys: "n" is the number of users; "u" and a name is a user.
var keyCount = []byte{'n'}

const userPrefix = 'u'

func userKey(name string) []byte { return append([]byte{userPrefix}, name...) }

// A stored user is a version byte and JSON.
const recordVersion = 1

func encodeRecord(u *User) []byte {
	b, err := json.Marshal(u)
	if err != nil {
		panic(fmt.Sprintf("directory: encoding user %q: %v", u.Name, err)) // plain values only
	}
	return append([]byte{recordVersion}, b...)
}

func decodeRecord(b []byte) (*User, error) {
	if len(b) == 0 || b[0] != recordVersion {
		return nil, errors.New("a user record of an unknown version")
	}
	u := new(User)
	if err := json.Unmarshal(b[1:], u); err != nil {
		return nil, err
	}
	return u, nil
}

func encodeCommand(kind commandType, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append([]byte{commandVersion, byte(kind)}, b...), nil
}

// change is what an applied command does to the view once it is in the store; a nil user is a removal.
type change struct {
	name string
	user *User
}

// Apply applies one command. Called on the apply goroutine. A command that this version does not know
// stops the node: going on would make its state differ from the others'.
func (d *Directory) Apply(w rows.Writer, index, term uint64, data []byte, parts [][]byte) any {
	if err := Understands(data); err != nil {
		panic(fmt.Sprintf("directory: entry %d: %v; this node is too old for its cluster", index, err))
	}
	var c change
	var r Result
	switch kind := commandType(data[1]); kind {
	case cmdAdd, cmdPut:
		u := new(User)
		mustDecode(index, data[2:], u)
		u.Version = index
		c, r = change{u.Name, u}, d.applyPut(w, u, kind == cmdAdd)
	case cmdRemove:
		mustDecode(index, data[2:], &c.name)
		r = d.applyRemove(w, c.name)
	}
	if r == Done {
		d.pending = append(d.pending, c)
	}
	return r
}

// Understands returns why this program cannot apply a command, if that is of a newer version or kind.
func Understands(data []byte) error {
	if len(data) < 2 || data[0] != commandVersion || data[1] == 0 || commandType(data[1]) >= cmdEnd {
		return fmt.Errorf("a command about users that begins with %x is not known", data[:min(len(data), 2)])
	}
	return nil
}

// Restore returns the command that writes a user's row of a backup again; ok is false for rows that are no user's.
func Restore(key, value []byte) (command []byte, ok bool) {
	if len(key) == 0 || key[0] != userPrefix {
		return nil, false
	}
	u, err := decodeRecord(value)
	if err != nil {
		return nil, false
	}
	command, err = encodeCommand(cmdAdd, u)
	return command, err == nil
}

func mustDecode(index uint64, data []byte, v any) {
	if err := json.Unmarshal(data, v); err != nil {
		panic(fmt.Sprintf("directory: entry %d cannot be read: %v", index, err))
	}
}

func (d *Directory) applyPut(w rows.Writer, u *User, add bool) Result {
	_, known := w.Get(userKey(u.Name))
	switch {
	case add && known:
		return Exists
	case !add && !known:
		return NoUser
	case add:
		n := count(w)
		if n >= d.limit {
			return Full
		}
		setCount(w, n+1)
	}
	w.Set(userKey(u.Name), encodeRecord(u))
	return Done
}

func (d *Directory) applyRemove(w rows.Writer, name string) Result {
	if _, known := w.Get(userKey(name)); !known {
		return NoUser
	}
	w.Delete(userKey(name))
	setCount(w, count(w)-1)
	return Done
}

func count(w rows.Writer) uint64 {
	v, ok := w.Get(keyCount)
	if !ok {
		return 0
	}
	if len(v) != 8 {
		panic("directory: the number of users is not a number")
	}
	return binary.BigEndian.Uint64(v)
}

func setCount(w rows.Writer, n uint64) { w.Set(keyCount, binary.BigEndian.AppendUint64(nil, n)) }
