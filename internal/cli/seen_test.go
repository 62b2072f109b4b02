package cli

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
)

// TestNobodyTurnsALineAround: what a stranger wrote shows in the order it has, in JSON too, where
// it stays the same value.
func TestNobodyTurnsALineAround(t *testing.T) {
	const text = "\u202etxt.exe\u2066 \u200bü日 \u2028\U000e0041\x7f <a@b>"
	if got := Clean(text); got != "?txt.exe? ?ü日 ??? <a@b>" {
		t.Errorf("%q", got)
	}
	raw, err := json.Marshal(text) // escapes no more than U+2028
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c := &Console{Out: &out}
	if err := c.Line(raw); err != nil {
		t.Fatal(err)
	}
	want := `"\u202etxt.exe\u2066 \u200bü日 \u2028\udb40\udc41\u007f \u003ca@b\u003e"` + "\n"
	if out.String() != want {
		t.Errorf("got  %swant %s", out.String(), want)
	}
	if err := c.Object(map[string]string{"a": text}); err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(&out)
	var one string
	var many map[string]string
	if dec.Decode(&one) != nil || dec.Decode(&many) != nil || one != text ||
		!reflect.DeepEqual(many, map[string]string{"a": text}) {
		t.Errorf("%q, %q", one, many)
	}
}
