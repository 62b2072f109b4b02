package config

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Show returns the effective values as TOML, which Load reads back. Sections that are lists or maps
// of tables are written out with every key.
func (c *Config) Show() string {
	var b strings.Builder
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag.Get("toml")
		if tag == "" {
			continue
		}
		switch f := v.Field(i); {
		case isTables(f.Type()):
			for j := range f.Len() {
				showTable(&b, "[["+tag+"]]", f.Index(j))
			}
		case f.Kind() == reflect.Map:
			for _, name := range mapNames(f) {
				showTable(&b, "["+join(tag, quoteKey(name))+"]", f.MapIndex(reflect.ValueOf(name)))
			}
		default:
			showTable(&b, "["+tag+"]", f)
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

func showTable(b *strings.Builder, header string, v reflect.Value) {
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	b.WriteString(header + "\n")
	width := 0
	for _, key := range keysOf(v.Type()) {
		width = max(width, len(key))
	}
	for i := range v.NumField() {
		if tag := v.Type().Field(i).Tag.Get("toml"); tag != "" {
			fmt.Fprintf(b, "%-*s = %s\n", width, tag, literal(v.Field(i)))
		}
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
