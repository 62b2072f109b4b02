package config

import (
	"encoding"
	"reflect"
	"sort"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// walker compares a document with the types, without decoding it: it notes where each key stands
// and what is wrong. Names of [shaping] are free; everything else must be a key that the types
// have.
type walker struct {
	file     string
	root     reflect.Type // of the document
	data     []byte
	lines    []int // where each line begins
	parser   unstable.Parser
	where    positions
	problems Problems
	values   map[string]int // the line of each value: none may be given twice
	counts   map[string]int // how many elements an array of tables has so far
}

// walk goes through the whole document, whose type is root.
func walk(file string, data []byte, root reflect.Type) (positions, Problems) {
	w := &walker{file: file, data: data, root: root, where: positions{}, values: map[string]int{},
		counts: map[string]int{}}
	w.lines = lineStarts(data)
	w.parser.Reset(data)
	table, path := root, ""
	for len(w.problems) < maxProblems && w.parser.NextExpression() {
		switch e := w.parser.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table, path = w.descend(root, "", e.Key(), e.Kind)
		case unstable.KeyValue:
			if table != nil { // else the table itself is the problem
				w.keyValue(table, path, e)
			}
		}
	}
	if err := w.parser.Error(); err != nil {
		w.syntax(err)
	}
	return w.where, w.problems
}

// syntax reports why the document is no TOML.
func (w *walker) syntax(err error) {
	p := Problem{File: w.file, What: err.Error()}
	if pe, ok := err.(*unstable.ParserError); ok {
		p.What = pe.Message
		p.Line, p.Column = w.place(pe.Highlight)
	}
	w.problems.add(p)
}

// place returns the line and column of a part of the document.
func (w *walker) place(part []byte) (line, column int) {
	offset := cap(w.data) - cap(part)
	if offset < 0 || offset > len(w.data) {
		return 0, 0
	}
	line = sort.SearchInts(w.lines, offset+1)
	return line, offset - w.lines[line-1] + 1
}

func lineStarts(data []byte) []int {
	starts := []int{0}
	for i, c := range data {
		if c == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

func (w *walker) position(r unstable.Range) position {
	line, column := w.place(w.data[r.Offset:])
	return position{w.file, line, column}
}

func (w *walker) problem(r unstable.Range, key, what, hint string) {
	p := w.position(r)
	w.problems.add(Problem{File: w.file, Line: p.line, Column: p.column, Key: key, What: what,
		Hint: hint})
}

// descend follows a dotted key from t. It returns the type that the key names and its full key, or
// nil after a problem. kind is what the key stands in: [table], [[array of tables]] or key = value.
func (w *walker) descend(
	t reflect.Type, path string, keys unstable.Iterator, kind unstable.Kind,
) (reflect.Type, string) {
	section, name := "", "" // a map of tables, and which was just named
	for keys.Next() {
		key := keys.Node()
		next := member(t, string(key.Data))
		if whole := dotted(name, key, kind); next == nil && section != "" && whole != name {
			w.problem(key.Raw, join(path, quoteKey(string(key.Data))), "there is no such key",
				"a name with dots stands in quotes: write "+join(section, quoteString(whole)))
			return nil, ""
		}
		if next == nil {
			w.unknown(t, path, key)
			return nil, ""
		}
		section, name = "", ""
		if t.Kind() == reflect.Map {
			section, name = path, string(key.Data)
		}
		t, path = next, join(path, quoteKey(string(key.Data)))
		if !w.where.has(path) {
			w.where[path] = w.position(key.Raw)
		}
		last := !key.Next().Valid()
		switch {
		case last && kind == unstable.KeyValue: // the caller looks at the value
		case last && kind == unstable.Table && !isTable(t) && t.Kind() != reflect.Map:
			w.problem(key.Raw, path, "is not a table", hintNoTable(t, path))
			return nil, ""
		case last && kind == unstable.ArrayTable && !isTables(t):
			w.problem(key.Raw, path, "is not a list of tables", hintNoTable(t, path))
			return nil, ""
		case isTables(t):
			if last {
				w.counts[path]++
			}
			t, path = t.Elem(), path+"["+strconv.Itoa(max(w.counts[path]-1, 0))+"]"
			w.where[path] = w.position(key.Raw)
		}
	}
	return t, path
}

// dotted is a name of a map of tables with the keys that follow it, joined by dots: what was meant
// when the name has dots and no quotes. For TOML those are tables in tables. The last key of a key
// and value is that of the value.
func dotted(name string, next *unstable.Node, kind unstable.Kind) string {
	for ; next.Valid() && (kind != unstable.KeyValue || next.Next().Valid()); next = next.Next() {
		name += "." + string(next.Data)
	}
	return name
}

func hintNoTable(t reflect.Type, path string) string {
	switch {
	case path == "tls.certificate": // TOML has no name for a value and for a list of tables
		return "further certificates are [[certificate]] tables"
	case isTables(t):
		return "write [[" + path + "]]"
	case isTable(t), t.Kind() == reflect.Map:
		return "write [" + path + "]"
	}
	return "write " + path + " = ..."
}

// member returns the type of what t has under name, or nil.
func member(t reflect.Type, name string) reflect.Type {
	switch {
	case t.Kind() == reflect.Map:
		return t.Elem()
	case isTable(t):
		for i := range t.NumField() {
			if tag := t.Field(i).Tag.Get("toml"); tag != "" && tag == name {
				return t.Field(i).Type
			}
		}
	}
	return nil
}

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

func isText(t reflect.Type) bool   { return reflect.PointerTo(t).Implements(textUnmarshaler) }
func isTable(t reflect.Type) bool  { return t.Kind() == reflect.Struct && !isText(t) }
func isTables(t reflect.Type) bool { return t.Kind() == reflect.Slice && isTable(t.Elem()) }

// unknown reports a key that nothing has, with the key that it may have been meant to be.
func (w *walker) unknown(t reflect.Type, path string, key *unstable.Node) {
	name, full := string(key.Data), join(path, quoteKey(string(key.Data)))
	if !isTable(t) {
		w.problem(key.Raw, full, path+" is a value, it has no keys", "")
		return
	}
	names := keysOf(t)
	hint := "the keys here are " + strings.Join(names, ", ")
	if near := Nearest(strings.ToLower(name), names); near != "" {
		hint = "did you mean " + join(path, near) + "?"
	} else if other := w.elsewhere(name); other != "" {
		hint = "did you mean " + other + "?"
	}
	w.problem(key.Raw, full, "there is no such key", hint)
}

func keysOf(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("toml"); tag != "" {
			names = append(names, tag)
		}
	}
	return names
}

// elsewhere returns the full key of another section that has the name.
func (w *walker) elsewhere(name string) string {
	for _, section := range keysOf(w.root) {
		t := member(w.root, section)
		if isTables(t) || t.Kind() == reflect.Map {
			t = t.Elem()
		}
		if isTable(t) && member(t, name) != nil {
			return join(section, name)
		}
	}
	return ""
}
