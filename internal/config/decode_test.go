package config

import (
	"strings"
	"testing"
)

type otherDocument struct {
	Name  string `toml:"name"`
	Cells []struct {
		Size  []Size  `toml:"size"`
		Share float64 `toml:"share"`
	} `toml:"cell"`
}

func TestDecode(t *testing.T) {
	d := otherDocument{Name: "kept"}
	if err := Decode("x.toml",
		[]byte("[[cell]]\nsize = [\"4KiB\", \"1MiB\"]\nshare = 0.5\n[[cell]]\nshare = 2\n"),
		&d); err != nil {
		t.Fatal(err)
	}
	if d.Name != "kept" || len(d.Cells) != 2 || d.Cells[0].Size[1] != 1<<20 ||
		d.Cells[0].Share != 0.5 || d.Cells[1].Share != 2 {
		t.Errorf("%+v", d)
	}
	for text, want := range map[string]string{
		"[[cell]]\nsizes = []\n": "x.toml:2:1: cell[0].sizes: there is no such key; did " +
			"you mean cell[0].size?",
		"[[cell]]\nshare = \"half\"\n": `x.toml:2:9: cell[0].share: is the text "half"; want a number`,
		"nam = \"a\"\n":                "x.toml:1:1: nam: there is no such key; did you mean name?",
	} {
		err := Decode("x.toml", []byte(text), &otherDocument{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
