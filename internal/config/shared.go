package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxShared bounds the octets of a pushed configuration: as JSON it is one entry of a log, and the
// last versions are in memory on every member.
const MaxShared = 256 << 10

// Shared is a configuration that was pushed to all nodes of a cluster: some of the sections that
// have the tag `shared`. A key stands in one place: in it, or in the file of a node that keeps the
// key for itself (node.own), or nowhere.
type Shared struct {
	Version uint64
	Text    string
	config  *Config // the defaults, and what it says
}

// ParseShared reads a configuration that is to be pushed, or was; name is only for its problems.
// Whether its combinations make sense is known when it is merged with a node's own file.
func ParseShared(name string, version uint64, text string) (*Shared, error) {
	s := &Shared{Version: version, Text: text, config: defaults()}
	if err := CheckText(name, text); err != nil {
		return nil, err
	}
	where, problems := decode(name, []byte(text), s.config)
	if len(problems) > 0 {
		return nil, problems
	}
	if len(where) == 0 {
		return nil, Problems{{File: name, What: "says nothing", Hint: "it has no section"}}
	}
	s.config.where = where
	for f := range fields(reflect.TypeFor[Config]()) {
		section := f.Tag.Get("toml")
		if !isShared(f) {
			problems.addAt(where, section, ofNode, inFiles)
			continue
		}
		if isTable(f.Type) {
			for k := range fields(f.Type) {
				if k.Tag.Get("shared") == "no" {
					problems.addAt(where, join(section, k.Tag.Get("toml")), ofNode, inFiles)
				}
			}
		}
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return a.Line - b.Line })
	return s, problems.asError()
}

const (
	ofNode  = "is each node's own"
	inFiles = "keep it in the files of the nodes"
)

// CheckText says why a text cannot be pushed whatever it says: it is too large, or no text. JSON,
// in which it goes to the node, would change it in silence. name is only for the problem.
func CheckText(name, text string) error {
	if len(text) > MaxShared {
		return Problems{{File: name, What: fmt.Sprintf("is larger than %v", Size(MaxShared))}}
	}
	for i, line := range strings.Split(text, "\n") {
		if !utf8.ValidString(line) {
			return Problems{{File: name, Line: i + 1, Column: 1, What: "is no text in UTF-8",
				Hint: "save it in UTF-8"}}
		}
	}
	return nil
}

// addAt adds a problem of key, if the document has it.
func (ps *Problems) addAt(where positions, key, what, hint string) {
	if where.has(key) {
		ps.add(where.at(key).problem("", key, what, hint))
	}
}

// fields are the fields of a struct that are keys, or sections.
func fields(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if f := t.Field(i); f.Tag.Get("toml") != "" && !yield(f) {
				return
			}
		}
	}
}

func isShared(section reflect.StructField) bool { return section.Tag.Get("shared") == "yes" }

// merger puts a pushed configuration into a node's own.
type merger struct {
	own      *Config
	pushed   *Shared
	problems Problems
}

// merge adds what was pushed to a node's own configuration, in which no default that depends on
// other keys is filled in yet; nil: nothing was.
func (c *Config) merge(s *Shared) error {
	m := merger{own: c, pushed: s}
	m.checkOwn()
	if s == nil {
		return m.problems.asError()
	}
	own, pushed := reflect.ValueOf(c).Elem(), reflect.ValueOf(s.config).Elem()
	for f := range fields(own.Type()) {
		section, to, from := f.Tag.Get("toml"), own.FieldByIndex(f.Index),
			pushed.FieldByIndex(f.Index)
		switch {
		case !isShared(f):
		case isTable(f.Type):
			for k := range fields(f.Type) {
				if k.Tag.Get("shared") != "no" {
					m.unit(section, join(section, k.Tag.Get("toml")), func() {
						to.FieldByIndex(k.Index).Set(from.FieldByIndex(k.Index))
					})
				}
			}
		case f.Type.Kind() == reflect.Map:
			m.entries(section, to, from)
		default: // its elements get their defaults later: those of s stay as they are
			m.unit(section, section, func() {
				to.Set(reflect.AppendSlice(reflect.Zero(f.Type), from))
			})
		}
	}
	slices.SortStableFunc(m.problems, func(a, b Problem) int { return a.Line - b.Line })
	return m.problems.asError()
}

// entries merges a map of tables, each as a whole.
func (m *merger) entries(section string, to, from reflect.Value) {
	all := map[string]reflect.Value{}
	for _, v := range []reflect.Value{to, from} {
		for _, name := range v.MapKeys() {
			all[name.String()] = name
		}
	}
	merged := reflect.MakeMap(to.Type())
	for _, name := range to.MapKeys() {
		merged.SetMapIndex(name, to.MapIndex(name)) // the map may be another's
	}
	for text, name := range all {
		if slices.Contains(m.own.Node.Own, join(section, text)) { // as people write it
			continue
		}
		m.unit(section, join(section, quoteKey(text)), func() {
			merged.SetMapIndex(name, from.MapIndex(name))
		})
	}
	to.Set(merged)
}

// unit merges what stands in one place as a whole: a key, a list of tables, or an entry of a map.
func (m *merger) unit(section, key string, take func()) {
	pushed := m.pushed.config.where
	switch where := m.own.where; {
	case slices.Contains(m.own.Node.Own, section), slices.Contains(m.own.Node.Own, key):
	case where.has(key):
		m.problems.addAt(where, key,
			"is shared by all nodes, and stands in what is pushed, not in a node's file",
			"remove it here, and push it if it is to hold; or list it in node.own")
	case pushed.has(key):
		take()
		where.take(key, pushed)
		if !where.has(section) {
			where[section] = pushed[section]
		}
	}
}

// checkOwn finds in node.own what is not shared at all.
func (m *merger) checkOwn() {
	for i, name := range m.own.Node.Own {
		if hint := notShared(name); hint != "" {
			m.problems.addAt(m.own.where, fmt.Sprintf("node.own[%d]", i),
				strconv.Quote(clip(name))+" is not shared", hint)
		}
	}
}

// notShared is "", or what could be meant by what is neither a section nor a key that is shared.
func notShared(name string) string {
	var names []string
	for f := range fields(reflect.TypeFor[Config]()) {
		if !isShared(f) {
			continue
		}
		section := f.Tag.Get("toml")
		names = append(names, section)
		if f.Type.Kind() == reflect.Map && strings.HasPrefix(name, section+".") {
			return ""
		}
		if isTable(f.Type) {
			for k := range fields(f.Type) {
				if k.Tag.Get("shared") != "no" {
					names = append(names, join(section, k.Tag.Get("toml")))
				}
			}
		}
	}
	if slices.Contains(names, name) {
		return ""
	}
	if near := Nearest(name, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return `name a section or a key, such as "retry" or "relay.networks"`
}

// DiffShared returns what differs between two pushed configurations, in the order of the reference;
// nil is none.
func DiffShared(old, new *Shared) []Change { return Diff(old.alone(), new.alone()) }

// alone is what s makes of a node whose own file is empty.
func (s *Shared) alone() *Config {
	c := defaults()
	c.where = positions{}
	if s != nil {
		_ = c.merge(s) // an empty file has no key that could be in two places
	}
	c.complete(c.where)
	return c
}

// KeptPath is the file with the last pushed configuration that the node with this data directory
// could take.
func KeptPath(dataDir string) string { return filepath.Join(dataDir, "pushed.json") }

const keptFormat = 1

// kept is the content of that file.
type kept struct {
	Format  int    `json:"format"`
	Version uint64 `json:"version"`
	Sum     string `json:"sha256"` // of the text
	Text    string `json:"text"`
}

// Encode returns s as Kept reads it, in at most about 512 KiB: JSON takes two octets for a line's
// end, a tab or a quotation mark, and TOML has no other control character.
func (s *Shared) Encode() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)                                           // six octets for one
	_ = enc.Encode(kept{keptFormat, s.Version, sumOf(s.Text), s.Text}) // no type of it can fail
	return b.Bytes()
}

// Kept returns what the node with this data directory starts with; nil: nothing was pushed yet.
func Kept(dataDir string) (*Shared, error) {
	path := KeptPath(dataDir)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decodeShared(path, b)
}

// DecodeShared reads what Encode wrote, as it came from another node.
func DecodeShared(b []byte) (*Shared, error) {
	return decodeShared("the pushed configuration of the cluster", b)
}

func decodeShared(name string, b []byte) (*Shared, error) {
	var k kept
	if err := json.Unmarshal(b, &k); err != nil || k.Format > keptFormat || k.Sum != sumOf(k.Text) {
		what := "is damaged: remove it"
		if err == nil && k.Format > keptFormat {
			what = "is of a newer version of this program: start that, or remove the file"
		}
		return nil, Problems{{File: name, What: what,
			Hint: "the node gets the pushed configuration from its cluster again"}}
	}
	return ParseShared(PushedName(k.Version), k.Version, k.Text)
}

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// PushedName names a version of the pushed configuration as the place of a key.
func PushedName(version uint64) string { return fmt.Sprintf("pushed version %d", version) }
