package config

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Show returns the effective values as TOML, which Load reads back. Sections that are lists or maps
// of tables are written out with every key.
func (c *Config) Show() string { return c.show(func(string, string) string { return "" }) }

// ShowOrigins is Show with a comment after each value that says where it stands: file and line, the
// version that was pushed and its line, or default.
func (c *Config) ShowOrigins() string {
	return c.show(func(table, key string) string { return "  # " + c.origin(table, key) })
}

// origin is where the value of a key in a table stands. What a destination does not say it has from
// shaping.default.
func (c *Config) origin(table, key string) string {
	if c.waiting[join(table, key)] {
		return "until a restart, which takes what the file says"
	}
	p, ok := c.where[join(table, key)]
	if !ok && strings.HasPrefix(table, "shaping.") && table != "shaping.local" {
		p, ok = c.where[join("shaping.default", key)]
	}
	if !ok {
		return "default"
	}
	return p.file + ":" + strconv.Itoa(p.line)
}

func (c *Config) show(comment func(table, key string) string) string {
	var b strings.Builder
	v := reflect.ValueOf(c).Elem()
	for f := range fields(v.Type()) {
		tag := f.Tag.Get("toml")
		switch f := v.FieldByIndex(f.Index); {
		case isTables(f.Type()):
			for j := range f.Len() {
				showTable(&b, "[["+tag+"]]", tag+"["+strconv.Itoa(j)+"]", f.Index(j), comment)
			}
		case f.Kind() == reflect.Map:
			for _, name := range mapNames(f) {
				key := join(tag, quoteKey(name))
				showTable(&b, "["+key+"]", key, f.MapIndex(reflect.ValueOf(name)), comment)
			}
		default:
			showTable(&b, "["+tag+"]", tag, f, comment)
		}
	}
	return b.String()
}

// mapNames returns the names of a map of tables, "default" first.
func mapNames(v reflect.Value) (names []string) {
	for _, k := range v.MapKeys() {
		names = append(names, k.String())
	}
	slices.SortFunc(names, func(a, b string) int {
		if a == "default" || b == "default" {
			return btoi(b == "default") - btoi(a == "default")
		}
		return strings.Compare(a, b)
	})
	return names
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func showTable(
	b *strings.Builder, header, path string, v reflect.Value,
	comment func(table, key string) string,
) {
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	b.WriteString(header + "\n")
	width := 0
	for _, key := range keysOf(v.Type()) {
		width = max(width, len(key))
	}
	for f := range fields(v.Type()) {
		key := f.Tag.Get("toml")
		fmt.Fprintf(b, "%-*s = %s%s\n", width, key, literal(v.FieldByIndex(f.Index)),
			comment(path, key))
	}
}

// literal is a value as it stands in a file.
func literal(v reflect.Value) string {
	if v.Kind() == reflect.Slice {
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = literal(v.Index(i))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	if s, ok := v.Interface().(fmt.Stringer); ok {
		return quoteString(s.String())
	}
	if v.Kind() == reflect.String {
		return quoteString(v.String())
	}
	return fmt.Sprint(v.Interface())
}

// quoteString writes a basic string of TOML. Of Go's escapes TOML knows only some, so control
// characters become \u.
func quoteString(s string) string {
	var b bytes.Buffer
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 127:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
