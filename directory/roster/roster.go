// Package roster reads and writes files of users and aliases: CSV with a header line, and JSON. What is wrong in a file has a line and a column.
package roster

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/config"
)

// Problem is something wrong in a file. Lines and columns count from one, columns in octets.
type Problem struct {
	Line, Column int
	What         string
}

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
	Hash     string // as directory.ParseHash takes it; both may be absent, and then nobody can log in
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

// value is one value of a row: a text, or for lists of JSON several.
type value struct {
	Place
	text string
	list []string
	many bool
}

// words are the members of a list. In CSV they are parted by spaces.
func (v value) words() []string {
	if v.many {
		return v.list
	}
	return strings.Fields(v.text)
}

// source yields the rows of a file of either form.
type source interface {
	// next calls set with the key and value of each field of the next row, and returns where the row begins: io.EOF after the last. A *Problem that
	// set returns is returned, after the rest of the row is skipped.
	next(set func(key string, v value) error) (Place, error)
	// lost reports whether nothing can be read any more after a problem.
	lost() bool
}

// open returns the source of a file with such keys, of which the first must be there; format is "csv" or "json".
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

// setters are what the values of a row do; in the order in which a file is written.
type setter[T any] struct {
	key string
	set func(*T, value) error
	get func(*T) (text string, list []string)
}

func text[T any](key string, of func(*T) *string) setter[T] {
	return setter[T]{key, func(to *T, v value) error {
		if v.many {
			return fmt.Errorf("it is one text, not a list")
		}
		*of(to) = v.text
		return nil
	}, func(from *T) (string, []string) { return *of(from), nil }}
}

func list[T any](key string, of func(*T) *[]string) setter[T] {
	return setter[T]{key, func(to *T, v value) error { *of(to) = v.words(); return nil },
		func(from *T) (string, []string) { return strings.Join(*of(from), " "), *of(from) }}
}

// parsed is a value that is empty when it is zero.
func parsed[T any, V comparable](key string, of func(*T) *V, parse func(string) (V, error), format func(V) string) setter[T] {
	return setter[T]{key, func(to *T, v value) (err error) {
		switch {
		case v.many:
			return fmt.Errorf("it is one value, not a list")
		case v.text == "":
			return nil
		}
		*of(to), err = parse(strings.TrimSpace(v.text))
		return err
	}, func(from *T) (string, []string) {
		var zero V
		if *of(from) == zero {
			return "", nil
		}
		return format(*of(from)), nil
	}}
}

func boolean(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "yes", "true", "1", "on":
		return true, nil
	case "no", "false", "0", "off":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither yes nor no", s)
}

func negated(s string) (bool, error) { b, err := boolean(s); return !b, err }

func rate(s string) (directory.Rate, error) {
	var r config.Rate
	err := r.UnmarshalText([]byte(s))
	return directory.Rate{N: r.N, Per: r.Per}, err
}

func rateText(r directory.Rate) string { return config.Rate{N: r.N, Per: r.Per}.String() }

// octets reads a size: a number is one of octets.
func octets(s string) (int64, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	var size config.Size
	err := size.UnmarshalText([]byte(s))
	return int64(size), err
}

var userFields = []setter[User]{
	text("address", func(u *User) *string { return &u.Address }),
	text("password", func(u *User) *string { return &u.Password }),
	text("hash", func(u *User) *string { return &u.Hash }),
	text("scram", func(u *User) *string { return &u.Scram }),
	text("tenant", func(u *User) *string { return &u.Settings.Tenant }),
	list("senders", func(u *User) *[]string { return &u.Settings.Senders }),
	parsed("messages", func(u *User) *directory.Rate { return &u.Settings.Messages }, rate, rateText),
	parsed("recipients", func(u *User) *directory.Rate { return &u.Settings.Recipients }, rate, rateText),
	parsed("disabled", func(u *User) *bool { return &u.Settings.Disabled }, boolean, func(bool) string { return "yes" }),
	parsed("mailbox", func(u *User) *bool { return &u.Settings.NoMailbox }, negated, func(bool) string { return "no" }),
	parsed("soft_quota", func(u *User) *int64 { return &u.Settings.Soft }, octets, sizeText),
	parsed("hard_quota", func(u *User) *int64 { return &u.Settings.Hard }, octets, sizeText),
	list("forward", func(u *User) *[]string { return &u.Settings.Forward }),
	parsed("keep_copy", func(u *User) *bool { return &u.Settings.Keep }, boolean, func(bool) string { return "yes" }),
}

var aliasFields = []setter[Alias]{
	text("address", func(a *Alias) *string { return &a.Address }),
	text("owner", func(a *Alias) *string { return &a.Owner }),
	list("targets", func(a *Alias) *[]string { return &a.Targets }),
}

func sizeText(n int64) string { return config.Size(n).String() }

func keysOf[T any](fields []setter[T]) (keys []string) {
	for _, f := range fields {
		keys = append(keys, f.key)
	}
	return keys
}

// Reader reads the rows of a file one by one.
type Reader[T any] struct {
	source source
	fields []setter[T]
	check  func(*T, func(key string) Place) *Problem
	done   bool
}

// Users and Aliases return readers of a file; format is "csv" or "json". A *Problem says what is wrong with its beginning.
func Users(r io.Reader, format string) (*Reader[User], error) {
	return newReader(r, format, userFields, checkUser)
}

func Aliases(r io.Reader, format string) (*Reader[Alias], error) {
	return newReader(r, format, aliasFields, checkAlias)
}

func newReader[T any](r io.Reader, format string, fields []setter[T], check func(*T, func(string) Place) *Problem) (*Reader[T], error) {
	s, err := open(r, format, keysOf(fields))
	if err != nil {
		return nil, err
	}
	return &Reader[T]{source: s, fields: fields, check: check}, nil
}

// Next returns the next row, or io.EOF after the last one. After a *Problem with one row the next can be read.
func (r *Reader[T]) Next() (*T, error) {
	if r.done {
		return nil, io.EOF
	}
	row, places := new(T), map[string]Place{}
	place, err := r.source.next(func(key string, v value) error {
		i := slices.IndexFunc(r.fields, func(f setter[T]) bool { return f.key == key })
		if i < 0 {
			return v.problem("there is no %q: the names are %s", key, strings.Join(keysOf(r.fields), ", "))
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
		if _, err := directory.CheckTarget(to); err != nil {
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
