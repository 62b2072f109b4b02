package config

import (
	"encoding"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// keyValue looks at one `key = value` in a table of type t.
func (w *walker) keyValue(t reflect.Type, path string, e *unstable.Node) {
	field, ok := w.lastField(t, e)
	t, full := w.descend(t, path, e.Key(), unstable.KeyValue)
	if t == nil {
		return
	}
	at := w.keyRange(e)
	if line, ok := w.values[full]; ok {
		w.problem(at, full, "is given twice", "it is also on line "+strconv.Itoa(line))
		return
	}
	w.values[full] = w.position(at).line
	enum := ""
	if ok {
		enum = field.Tag.Get("enum")
	}
	w.value(t, full, enum, e.Value(), at)
}

// keyRange is where the key's last name stands: the place of values that have none of their own,
// such as arrays.
func (w *walker) keyRange(e *unstable.Node) (r unstable.Range) {
	for keys := e.Key(); keys.Next(); {
		r = keys.Node().Raw
	}
	return r
}

// lastField finds the struct field that a dotted key names, for its tags.
func (w *walker) lastField(t reflect.Type, e *unstable.Node) (f reflect.StructField, ok bool) {
	for keys := e.Key(); keys.Next(); {
		name := string(keys.Node().Data)
		f, ok = reflect.StructField{}, false
		if isTable(t) {
			for i := range t.NumField() {
				if t.Field(i).Tag.Get("toml") == name {
					f, ok = t.Field(i), true
				}
			}
		}
		if t = member(t, name); t == nil {
			return f, false
		}
	}
	return f, ok
}

// value compares a value with the type of its key.
func (w *walker) value(t reflect.Type, key, enum string, v *unstable.Node, place unstable.Range) {
	if v.Raw.Length > 0 {
		place = v.Raw
	}
	switch {
	case isText(t):
		w.text(t, key, v, place)
	case isTable(t), t.Kind() == reflect.Map:
		w.inlineTable(t, key, v, place)
	case t.Kind() == reflect.Slice:
		w.array(t, key, enum, v, place)
	case t.Kind() == reflect.String:
		w.str(key, enum, v, place)
	case t.Kind() == reflect.Bool:
		w.expect(v.Kind == unstable.Bool, key, "want true or false", v, place)
	case t.Kind() == reflect.Int:
		w.integer(key, v, place)
	case t.Kind() == reflect.Float64:
		w.expect(v.Kind == unstable.Float || v.Kind == unstable.Integer, key, "want a number", v,
			place)
	}
}

// expect reports a value of the wrong kind.
func (w *walker) expect(ok bool, key, want string, v *unstable.Node, place unstable.Range) bool {
	if !ok {
		w.problem(place, key, "is "+describe(v), want)
	}
	return ok
}

// describe names a value in the reader's words.
func describe(v *unstable.Node) string {
	switch v.Kind {
	case unstable.String:
		return "the text " + strconv.Quote(clip(string(v.Data)))
	case unstable.Integer, unstable.Float:
		return "the number " + clip(string(v.Data))
	case unstable.Bool:
		return string(v.Data)
	case unstable.Array:
		return "a list"
	case unstable.InlineTable:
		return "a table"
	}
	return "a date or time"
}

// clip keeps a message to one readable line.
func clip(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "..."
	}
	return s
}

// text checks a value that has a unit or another form of its own, by reading it.
func (w *walker) text(t reflect.Type, key string, v *unstable.Node, place unstable.Range) {
	target := reflect.New(t).Interface().(encoding.TextUnmarshaler)
	if v.Kind != unstable.String {
		w.problem(place, key, "is "+describe(v), hintFor(target))
		return
	}
	if err := target.UnmarshalText(v.Data); err != nil {
		w.problem(place, key, "is "+describe(v), err.Error())
	}
}

// hintFor is what a value of the type looks like.
func hintFor(target encoding.TextUnmarshaler) string {
	if err := target.UnmarshalText([]byte("?")); err != nil {
		return err.Error()
	}
	return "want a text in quotes"
}

func (w *walker) str(key, enum string, v *unstable.Node, place unstable.Range) {
	if !w.expect(v.Kind == unstable.String, key, "want a text in quotes", v, place) || enum == "" {
		return
	}
	words := strings.Split(enum, ",")
	for _, word := range words {
		if string(v.Data) == word {
			return
		}
	}
	// Of few words the nearest is seldom the one that is meant: "smtp" is no "lmtp".
	hint := "want one of " + strings.Join(words, ", ")
	if lower := strings.ToLower(string(v.Data)); slices.Contains(words, lower) {
		hint = "did you mean " + strconv.Quote(lower) + "?"
	}
	w.problem(place, key, "is "+describe(v), hint)
}

func (w *walker) integer(key string, v *unstable.Node, place unstable.Range) {
	if !w.expect(v.Kind == unstable.Integer, key, "want a whole number", v, place) {
		return
	}
	n, err := strconv.ParseInt(string(v.Data), 0, 64)
	if err != nil || n < 0 || n > math.MaxInt32 {
		w.problem(place, key, "is "+describe(v), "want a whole number of 0 to 2147483647")
	}
}

func (w *walker) array(t reflect.Type, key, enum string, v *unstable.Node, place unstable.Range) {
	want := "want a list in [ ]"
	if isTables(t) {
		want = "write it as [[" + key + "]]"
	}
	if !w.expect(v.Kind == unstable.Array, key, want, v, place) {
		return
	}
	i := 0
	for it := v.Children(); it.Next(); i++ {
		element := key + "[" + strconv.Itoa(i) + "]"
		at := place
		if it.Node().Raw.Length > 0 {
			at = it.Node().Raw
		}
		w.where[element] = w.position(at)
		w.value(t.Elem(), element, enum, it.Node(), at)
	}
	w.counts[key] = i
}

func (w *walker) inlineTable(t reflect.Type, key string, v *unstable.Node, place unstable.Range) {
	if !w.expect(v.Kind == unstable.InlineTable, key, "write it as ["+key+"]", v, place) {
		return
	}
	for it := v.Children(); it.Next(); {
		w.keyValue(t, key, it.Node())
	}
}
