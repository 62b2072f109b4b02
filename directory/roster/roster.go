// Package roster reads and writes files of users and aliases: CSV with a header line, and JSON.
// Faults of a file have a line and a column.
package roster

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/postroad/postroad/directory"
)

// Problem is something wrong in a file. Lines and columns count from one, columns in octets.
type Problem struct {
	Line, Column int
	What         string
}

// Error tells the problem with its place.
func (p *Problem) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", p.Line, p.Column, p.What)
}

// Place is where a row or a value is in a file.
type Place struct{ Line, Column int }

func (p Place) problem(format string, args ...any) *Problem {
	return &Problem{p.Line, p.Column, fmt.Sprintf(format, args...)}
}

// User is one row of a file of users.
type User struct {
	Place
	Address  string
	Password string // in clear; or else
	// as directory.ParseHash takes it; both may be absent, and then nobody can log in
	Hash     string
	Scram    string // as directory.ParseHash takes it
	Settings directory.Settings
}

// Alias is one row of a file of aliases.
type Alias struct {
	Place
	Address string
	Owner   string
	Targets []string
}

// Domain is one row of a file of domains.
type Domain struct {
	Place
	Name      string
	Separator string // see directory.Domain; NoSeparator: none, "": the default
}

// NoSeparator stands for the absence of a separator, where an empty value is the default.
const NoSeparator = "none"

// Where says where a row begins.
func (p Place) Where() Place { return p }

// source yields the rows of a file of either form.
type source interface {
	// next calls set with the key and value of each field of the next row, and returns where the
	// row begins: io.EOF after the last. A *Problem that set returns is returned, after the rest of
	// the row is skipped.
	next(set func(key string, v value) error) (Place, error)
	// lost reports whether nothing can be read any more after a problem.
	lost() bool
}

// open returns the source of a file with such keys, of which the first must be there; format is
// "csv" or "json".
func open(r io.Reader, format string, keys []string) (source, error) {
	switch format {
	case "csv":
		return openCSV(r, keys)
	case "json":
		return openJSON(r), nil
	}
	return nil, noFormat(format)
}

func noFormat(format string) error { return fmt.Errorf("%q is no format: csv or json", format) }

// Reader reads the rows of a file one by one.
type Reader[T any] struct {
	source source
	fields []setter[T]
	check  func(*T, func(key string) Place) *Problem
	done   bool
}

// Users, Aliases and Domains return readers of a file; format is "csv" or "json". A *Problem says
// what is wrong with its beginning.
func Users(r io.Reader, format string) (*Reader[User], error) {
	return newReader(r, format, userFields, checkUser)
}

// Aliases returns a reader of an import file of aliases.
func Aliases(r io.Reader, format string) (*Reader[Alias], error) {
	return newReader(r, format, aliasFields, checkAlias)
}

// Domains returns a reader of an import file of domains.
func Domains(r io.Reader, format string) (*Reader[Domain], error) {
	return newReader(r, format, domainFields, checkDomain)
}

func newReader[T any](
	r io.Reader, format string, fields []setter[T], check func(*T, func(string) Place) *Problem,
) (*Reader[T], error) {
	s, err := open(r, format, keysOf(fields))
	if err != nil {
		return nil, err
	}
	return &Reader[T]{source: s, fields: fields, check: check}, nil
}

// Next returns the next row, or io.EOF after the last one. After a *Problem with one row the next
// can be read.
func (r *Reader[T]) Next() (*T, error) {
	if r.done {
		return nil, io.EOF
	}
	row, places := new(T), map[string]Place{}
	place, err := r.source.next(func(key string, v value) error {
		i := slices.IndexFunc(r.fields, func(f setter[T]) bool { return f.key == key })
		if i < 0 {
			return v.problem(
				"there is no %q: the names are %s",
				key,
				strings.Join(keysOf(r.fields), ", "),
			)
		}
		if _, twice := places[key]; twice {
			return v.problem("there is a %q already in this row", key)
		}
		places[key] = v.Place
		if err := r.fields[i].set(row, v); err != nil {
			return v.problem("%s: %v", key, err)
		}
		return nil
	})
	if err != nil {
		r.done = r.source.lost() || err == io.EOF
		return nil, err
	}
	at := func(key string) Place {
		if p, ok := places[key]; ok {
			return p
		}
		return place
	}
	if p := r.check(row, at); p != nil {
		return nil, p
	}
	return row, nil
}

// checkUser finds what no directory would take.
func checkUser(u *User, at func(string) Place) *Problem {
	u.Place = at("address")
	if _, err := directory.Canonical(u.Address); err != nil {
		return u.problem("%v", err)
	}
	if u.Password != "" && u.Hash != "" {
		return at("hash").problem("there is a password as well: one of them, please")
	}
	if u.Hash != "" {
		if _, _, err := directory.ParseHash(u.Hash); err != nil {
			return at("hash").problem("%v", err)
		}
	}
	if u.Scram != "" {
		if _, keys, err := directory.ParseHash(u.Scram); err != nil || keys == nil {
			return at("scram").problem("not SCRAM-SHA-256 keys: %v", err)
		}
	}
	if u.Password != "" {
		if err := directory.CheckPassword(u.Password); err != nil {
			return at("password").problem("%v", err)
		}
	}
	return checkSettings(u, at)
}

func checkSettings(u *User, at func(string) Place) *Problem {
	for _, sender := range u.Settings.Senders {
		if _, err := directory.CanonicalSender(sender); err != nil {
			return at("senders").problem("%v", err)
		}
	}
	for _, to := range u.Settings.Forward {
		if _, err := directory.CheckTarget(to); err != nil {
			return at("forward").problem("%v", err)
		}
	}
	if err := u.Settings.Check(); err != nil {
		return u.problem("%v", err)
	}
	return nil
}

func checkAlias(a *Alias, at func(string) Place) *Problem {
	a.Place = at("address")
	if _, err := directory.CanonicalSender(a.Address); err != nil {
		return a.problem("%v", err)
	}
	if len(a.Targets) == 0 {
		return a.problem("there are no targets")
	}
	for _, to := range a.Targets {
		if _, err := directory.CheckAliasTarget(a.Address, to); err != nil {
			return at("targets").problem("%v", err)
		}
	}
	if a.Owner != "" {
		if _, err := directory.CheckTarget(a.Owner); err != nil {
			return at("owner").problem("%v", err)
		}
	}
	return nil
}

func checkDomain(d *Domain, at func(string) Place) *Problem {
	d.Place = at("domain")
	separator := strings.Replace(d.Separator, NoSeparator, "", 1)
	if err := directory.CheckDomain(d.Name, separator); err != nil {
		return d.problem("%v", err)
	}
	return nil
}
