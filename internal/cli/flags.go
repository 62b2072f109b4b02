package cli

import (
	"encoding"
	"errors"
	"flag"
	"strconv"
	"strings"

	"github.com/postroad/postroad/internal/config"
)

// repeatable is what the usage of a flag says that collects values.
const repeatable = "may be repeated"

// once is the value of a flag that takes one: of two the last would win in silence, and the command
// do what was not asked for.
type once struct {
	flag.Value
	name  string
	given bool
	twice *string // the first flag that was given twice
}

func (o *once) Set(s string) error {
	if o.given {
		*o.twice = o.name
		return errors.New("given twice")
	}
	o.given = true
	return o.Value.Set(s)
}

// onceEach makes the flags refuse a second value, but those that say that they may be repeated, and
// switches, which say the same again. twice names who was given one; undo takes it back.
func onceEach(fs *flag.FlagSet) (twice *string, undo func()) {
	twice = new(string)
	were := map[*flag.Flag]flag.Value{}
	fs.VisitAll(func(f *flag.Flag) {
		is, ok := f.Value.(interface{ IsBoolFlag() bool })
		if ok && is.IsBoolFlag() || strings.Contains(f.Usage, repeatable) {
			return
		}
		were[f] = f.Value
		f.Value = &once{Value: f.Value, name: f.Name, twice: twice}
	})
	return twice, func() {
		for f, v := range were {
			f.Value = v
		}
	}
}

// The kinds of flags whose absence means something, for flag.Func.

// Text is a flag with a text.
func Text(to **string) func(string) error {
	return func(s string) error { *to = &s; return nil }
}

// More collects values of a flag that may be repeated; the empty one stands for none.
func More(to *[]string) func(string) error {
	return func(s string) error {
		if *to == nil {
			*to = []string{}
		}
		if s != "" {
			*to = append(*to, s)
		}
		return nil
	}
}

// Yes is a switch that sets a value to what its presence means.
func Yes(to **bool, means bool) func(string) error {
	return func(s string) error {
		b, err := strconv.ParseBool(s)
		b = b == means
		*to = &b
		return err
	}
}

// Value is a flag whose value reads itself.
func Value[T any, P interface {
	*T
	encoding.TextUnmarshaler
}](to *P) func(string) error {
	return func(s string) error {
		*to = new(T)
		return (*to).UnmarshalText([]byte(s))
	}
}

// Size is a flag with a size, of which 0 needs no unit.
func Size(to **config.Size) func(string) error {
	return func(s string) error {
		if s == "0" {
			s = "0B"
		}
		return Value(to)(s)
	}
}
