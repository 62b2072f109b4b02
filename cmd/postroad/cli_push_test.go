package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/operate/admin/api"
)

// cliConfigs has two versions; mx2 refuses what says 9d.
type cliConfigs struct{}

func (cliConfigs) Push(_ context.Context, r *api.PushRequest) (api.PushAnswer, error) {
	if strings.Contains(r.Text, "9d") {
		return api.PushAnswer{}, api.Fail(api.ExitData,
			"mx2: /etc/f.toml:3:1: retry.expire: is shared", "nothing was changed on any node")
	}
	if r.Dry {
		return api.PushAnswer{Version: 2, Dry: true, Changes: []config.Change{
			{Key: "relay.domains", Old: "[]", New: `["a.example"]`, Reload: true}}}, nil
	}
	return api.PushAnswer{Version: 3, Nodes: []api.ConfigNode{{Node: "mx1", Version: 3},
		{Node: "mx\x1b2", Silent: true}}}, nil
}

func (c cliConfigs) ConfigHistory(context.Context) []api.ConfigVersion {
	two, _ := c.ConfigVersion(2)
	one, _ := c.ConfigVersion(1)
	two.InForce, two.Lacking = []string{"mx1"}, []api.ConfigNode{{Node: "mx2", Version: 1,
		Why: "its file"}}
	return []api.ConfigVersion{two, one}
}

func (cliConfigs) ConfigVersion(version uint64) (api.ConfigVersion, error) {
	v := api.ConfigVersion{Version: 2, Text: "[retry]\nexpire =\t\"4d\"\r\n", Who: "root@mx1",
		Note: "shorter", At: api.At(time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local))}
	if version == 1 {
		v.Version, v.Text, v.Note = 1, "[retry]\nexpire = \"6d\"\n", ""
	}
	return v, nil
}

func TestPushCommands(t *testing.T) {
	startCLINode(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, bad := file("good.toml", "[relay]\ndomains = [\"a.example\"]\n"),
		file("bad.toml", "[retry]\nexpire = \"9d\"\n")
	for _, c := range []struct {
		args []string
		want int
		says string
	}{
		{[]string{"push", good, "--note", "x"}, 0, "version 3 is in force on 1 of 2 nodes\n" +
			"mx?2 does not answer: it judges the version when it is back\n"},
		{[]string{"push", good, "--json"}, 0, `{"version":3,"nodes":[{"node":"mx1","version":3},`},
		{[]string{"push", bad}, 65, "mx2: /etc/f.toml:3:1: retry.expire: is shared"},
		{[]string{"push"}, 64, "it needs FILE"},
		{[]string{"push", good, bad}, 64, "one argument too many"},
		{[]string{"push", good, "--note", strings.Repeat("x", 300)}, 65, "no note"},
		{[]string{"push", filepath.Join(dir, "none.toml")}, 65, "no such file"},
		{[]string{"rollback", "1"}, 0, "version 3 is in force on"},
		{[]string{"rollback", "first"}, 64, `"first" is no version`},
		{[]string{"history"}, 0, "2    2026-01-02 03:04:05  root@mx1  shorter  in force on mx1\n" +
			"     mx2 cannot take it: its file\n1    2026"},
		{[]string{"history", "--json"}, 0, `"lacking":[{"node":"mx2","version":1,"why":"its file"}]}`},
		{[]string{"diff"}, 0, `retry.expire: "6d" -> "4d"`},
		{[]string{"diff", "1"}, 0, `retry.expire: "6d" -> "4d"`},
		{[]string{"diff", "2", "1"}, 0, `retry.expire: "4d" -> "6d"`},
		{[]string{"diff", good, "--json"}, 0,
			`{"key":"relay.domains","old":"[]","new":"[\"a.example\"]","reload":true}`},
		{[]string{"diff", bad}, 65, "mx2: /etc/f.toml:3:1: retry.expire: is shared"},
		{[]string{"push", good, "--dry-run"}, 0, `relay.domains: [] -> ["a.example"]` + "\n"},
		{[]string{"rollback", "1", "--dry-run"}, 0, `relay.domains: [] -> ["a.example"]` + "\n"},
		{[]string{"show", "--version", "2"}, 0,
			"[retry]\nexpire =\t\"4d\"\r\n"},
		{[]string{"push", file("latin.toml", "[limits]\n# caf\xe9\n")}, 65,
			"latin.toml:2:1: is no text in UTF-8"},
		{[]string{"diff", good, "1"}, 64, "is no version"},
		{[]string{"show", "--node", os.Getenv("POSTROAD_NODE")}, 0, "[node]  # f:1\n"},
	} {
		status, out, errs := postroad(t, "", append([]string{"config"}, c.args...)...)
		if status != c.want || !strings.Contains(out+errs, c.says) {
			t.Errorf("%q: exit %d, want %d\n%s%s", c.args, status, c.want, out, errs)
		}
	}
}
