package config

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strconv"
)

// Change is a key whose value differs between two configurations.
type Change struct {
	Key    string `json:"key"`           // the full key, such as "limits.memory"
	Old    string `json:"old,omitempty"` // the values as in the file; "" when there is none
	New    string `json:"new,omitempty"`
	Reload bool   `json:"reload"` // SIGHUP may change it; else only a restart does
}

// String says it in a line.
func (c *Change) String() string {
	line := c.Key + ": " + cmp.Or(c.Old, "none") + " -> " + cmp.Or(c.New, "none")
	switch {
	case c.New == "added":
		line = c.Key + " is added"
	case c.Old == "removed":
		line = c.Key + " is removed"
	}
	if !c.Reload {
		line += " (takes a restart)"
	}
	return line
}

// Diff returns what differs between two configurations, in the order of the reference.
func Diff(old, new *Config) []Change {
	var d differ
	d.table("", reflect.ValueOf(old).Elem(), reflect.ValueOf(new).Elem(), reloads)
	return d.changes
}

// Restart returns the keys of those changes that need a restart.
func Restart(changes []Change) (keys []string) {
	for _, c := range changes {
		if !c.Reload {
			keys = append(keys, c.Key)
		}
	}
	return keys
}

// Reloaded returns the configuration that a reload puts in force: new where SIGHUP may change a
// key, and old for the rest.
func Reloaded(old, new *Config) *Config {
	out := *new
	out.where, out.waiting = positions{}, map[string]bool{}
	maps.Copy(out.where, new.where)
	keep(&out, old, "", reflect.ValueOf(&out).Elem(), reflect.ValueOf(old).Elem())
	for _, key := range Restart(Diff(old, new)) {
		out.waiting[key] = true
	}
	// A change that depends on a key that waits, waits with it.
	if !out.where.has("local.domains") {
		out.Local.Domains = []string{out.Node.Hostname}
	}
	if !out.where.has("delivery.helo") {
		out.Delivery.Helo = out.Node.Hostname
	}
	return &out
}

// keep overwrites in dst, a part of out, what SIGHUP may not change. Lists of tables either reload
// as a whole or not at all.
func keep(out, from *Config, path string, dst, old reflect.Value) {
	for i := range dst.NumField() {
		f := dst.Type().Field(i)
		tag := f.Tag.Get("toml")
		switch {
		case tag == "":
		case isTable(f.Type):
			keep(out, from, join(path, tag), dst.Field(i), old.Field(i))
		case !reloads(f):
			dst.Field(i).Set(old.Field(i))
			out.where.take(join(path, tag), from.where)
		}
	}
}

// reloads reports whether SIGHUP may change a field: by its tag, or for a list or map of tables
// when all their keys have it.
func reloads(f reflect.StructField) bool {
	t := f.Type
	if t.Kind() == reflect.Map || isTables(t) {
		t = t.Elem()
		for i := range t.NumField() {
			if t.Field(i).Tag.Get("reload") == "" {
				return false
			}
		}
		return true
	}
	return f.Tag.Get("reload") != ""
}

type differ struct{ changes []Change }

// table compares two tables; reloads says which of their keys SIGHUP may change.
func (d *differ) table(
	path string, old, new reflect.Value, reloads func(reflect.StructField) bool,
) {
	for i := range old.NumField() {
		f := old.Type().Field(i)
		if tag := f.Tag.Get("toml"); tag != "" {
			d.value(join(path, tag), old.Field(i), new.Field(i), reloads(f))
		}
	}
}

func (d *differ) value(key string, old, new reflect.Value, reload bool) {
	switch t := old.Type(); {
	case isTable(t):
		d.table(key, old, new, reloads)
	case t.Kind() == reflect.Map:
		d.tables(key, old, new, reload)
	case isTables(t):
		for i := range max(old.Len(), new.Len()) {
			d.element(key+"["+strconv.Itoa(i)+"]", index(old, i), index(new, i), reload)
		}
	default:
		if a, b := literal(old), literal(new); a != b {
			d.changes = append(d.changes, Change{Key: key, Old: a, New: b, Reload: reload})
		}
	}
}

func (d *differ) tables(key string, old, new reflect.Value, reload bool) {
	var names []string
	for _, k := range append(old.MapKeys(), new.MapKeys()...) {
		names = append(names, k.String())
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		k := reflect.ValueOf(name)
		d.element(join(key, quoteKey(name)), old.MapIndex(k), new.MapIndex(k), reload)
	}
}

// element compares two tables of a list or map, of which one may be missing: that is a change of
// the table itself. Their keys reload when all of them do.
func (d *differ) element(key string, old, new reflect.Value, reload bool) {
	switch {
	case !old.IsValid():
		d.changes = append(d.changes, Change{Key: key, New: "added", Reload: reload})
	case !new.IsValid():
		d.changes = append(d.changes, Change{Key: key, Old: "removed", Reload: reload})
	default:
		d.table(key, old, new, func(reflect.StructField) bool { return reload })
	}
}

func index(v reflect.Value, i int) reflect.Value {
	if i >= v.Len() {
		return reflect.Value{}
	}
	return v.Index(i)
}
