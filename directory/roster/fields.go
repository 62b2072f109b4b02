package roster

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/config"
)

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
func parsed[T any, V comparable](
	key string, of func(*T) *V, parse func(string) (V, error), format func(V) string,
) setter[T] {
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
	return directory.Rate(r), err
}

func rateText(r directory.Rate) string { return config.Rate(r).String() }

// octets reads a size: a number is one of octets.
func octets(s string) (int64, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	var size config.Size
	err := size.UnmarshalText([]byte(s))
	return int64(size), err
}

func duration(s string) (time.Duration, error) {
	var d config.Duration
	err := d.UnmarshalText([]byte(s))
	return time.Duration(d), err
}

func durationText(d time.Duration) string { return config.Duration(d).String() }

var userFields = []setter[User]{
	text("address", func(u *User) *string { return &u.Address }),
	text("password", func(u *User) *string { return &u.Password }),
	text("hash", func(u *User) *string { return &u.Hash }),
	text("scram", func(u *User) *string { return &u.Scram }),
	text("tenant", func(u *User) *string { return &u.Settings.Tenant }),
	list("senders", func(u *User) *[]string { return &u.Settings.Senders }),
	parsed(
		"messages",
		func(u *User) *directory.Rate { return &u.Settings.Messages },
		rate,
		rateText,
	),
	parsed(
		"recipients",
		func(u *User) *directory.Rate { return &u.Settings.Recipients },
		rate,
		rateText,
	),
	parsed(
		"disabled",
		func(u *User) *bool { return &u.Settings.Disabled },
		boolean,
		func(bool) string { return "yes" },
	),
	parsed(
		"mailbox",
		func(u *User) *bool { return &u.Settings.NoMailbox },
		negated,
		func(bool) string { return "no" },
	),
	parsed("soft_quota", func(u *User) *int64 { return &u.Settings.Soft }, octets, sizeText),
	parsed("hard_quota", func(u *User) *int64 { return &u.Settings.Hard }, octets, sizeText),
	parsed(
		"retention",
		func(u *User) *time.Duration { return &u.Settings.Retention },
		duration,
		durationText,
	),
	list("forward", func(u *User) *[]string { return &u.Settings.Forward }),
	parsed(
		"keep_copy",
		func(u *User) *bool { return &u.Settings.Keep },
		boolean,
		func(bool) string { return "yes" },
	),
}

var aliasFields = []setter[Alias]{
	text("address", func(a *Alias) *string { return &a.Address }),
	text("owner", func(a *Alias) *string { return &a.Owner }),
	list("targets", func(a *Alias) *[]string { return &a.Targets }),
}

var domainFields = []setter[Domain]{
	text("domain", func(d *Domain) *string { return &d.Name }),
	text("separator", func(d *Domain) *string { return &d.Separator }),
}

func sizeText(n int64) string { return config.Size(n).String() }

func keysOf[T any](fields []setter[T]) (keys []string) {
	for _, f := range fields {
		keys = append(keys, f.key)
	}
	return keys
}
