package directory

import (
	"fmt"
	"slices"
	"sync"

	"github.com/postroad/postroad/internal/rows"
)

// record is one row of a table: a *User, *Domain, *Alias or *SigningKey.
type record interface {
	id() string
	stamp(version uint64)
}

func (u *User) id() string   { return u.Name }
func (d *Domain) id() string { return d.Name }
func (a *Alias) id() string  { return a.Name }

func (u *User) stamp(version uint64)   { u.Version = version }
func (d *Domain) stamp(version uint64) { d.Version = version }
func (a *Alias) stamp(version uint64)  { a.Version = version }

// The tables: a prefix and a name is a row's key. 's' is the prefix of what is staged (import.go),
// 'n' that of the numbers of rows.
type tableName int

const (
	users tableName = iota
	aliases
	domains
	signingKeys
	tables
)

var (
	prefixes = [tables]byte{users: 'u', aliases: 'a', domains: 'd', signingKeys: 'k'}
	fresh    = [tables]func() record{
		users: func() record { return new(User) }, aliases: func() record { return new(Alias) },
		domains: func() record { return new(Domain) }, signingKeys: func() record {
			return new(SigningKey)
		},
	}
)

// table is the records of one kind: how they are stored, and the view of them.
type table struct {
	name            tableName
	count           []byte // the key of the number of rows
	limit           uint64 // rows; the same on all members
	exists, missing Result
	view            sync.Map // name -> record; read without a lock
}

func newTables() [tables]*table {
	return [tables]*table{
		users: {
			name:    users,
			count:   []byte("n"),
			limit:   MaxUsers,
			exists:  Exists,
			missing: NoUser,
		},
		aliases: {
			name:    aliases,
			count:   []byte("na"),
			limit:   MaxAliases,
			exists:  AliasExists,
			missing: NoAlias,
		},
		domains: {
			name:    domains,
			count:   []byte("nd"),
			limit:   MaxDomains,
			exists:  DomainExists,
			missing: NoDomain,
		},
		signingKeys: {
			name:    signingKeys,
			count:   []byte("nk"),
			limit:   MaxKeys,
			exists:  KeyExists,
			missing: NoKey,
		},
	}
}

func (t *table) key(name string) []byte { return append([]byte{prefixes[t.name]}, name...) }

// load makes the view what the rows say.
func (t *table) load(r rows.Reader) error {
	var bad error
	known := map[string]bool{}
	prefix := prefixes[t.name]
	err := r.Scan([]byte{prefix}, []byte{prefix + 1}, func(k, v []byte) bool {
		one := fresh[t.name]()
		if err := decodeRecord(v, one); err != nil {
			bad = fmt.Errorf("%q: %w", k, err)
			return false
		}
		t.view.Store(one.id(), one)
		known[one.id()] = true
		return true
	})
	if err == nil {
		err = bad
	}
	if err != nil {
		return fmt.Errorf("loading the users: %w", err)
	}
	t.view.Range(func(name, _ any) bool {
		if !known[name.(string)] {
			t.view.Delete(name)
		}
		return true
	})
	return nil
}

// namesAbove returns up to limit names above after, in their order, of the rows whose keys are
// prefix and a name. A limit of 0 is none.
func namesAbove(r rows.Reader, prefix []byte, after string, limit int) (names []string, err error) {
	from, end := append(slices.Clone(prefix), after...), slices.Clone(prefix)
	if after != "" {
		from = append(from, 0)
	}
	end[len(end)-1]++ // no prefix ends with 255
	err = r.Scan(from, end, func(k, _ []byte) bool {
		names = append(names, string(k[len(prefix):]))
		return limit == 0 || len(names) < limit
	})
	return names, err
}
