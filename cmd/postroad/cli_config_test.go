package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/cmdline"
)

// TestMain keeps the tests from the configuration of the machine that they run on.
func TestMain(m *testing.M) {
	cmdline.Usual = filepath.Join(os.TempDir(), "postroad-test-without-a-file", "postroad.toml")
	os.Exit(m.Run())
}

// TestUsualFile: without --config the file in its usual place is the node's, for every command.
func TestUsualFile(t *testing.T) {
	saved, dir := cmdline.Usual, t.TempDir()
	t.Cleanup(func() { cmdline.Usual = saved })
	t.Setenv("POSTROAD_NODE", "")
	cmdline.Usual = filepath.Join(dir, "postroad.toml")
	check := func(args string, want int, says ...string) {
		t.Helper()
		status, out, errs := postroad(t, "", strings.Fields(args)...)
		for _, s := range says {
			if status != want || !strings.Contains(out+errs, s) {
				t.Errorf("postroad %s: exit %d, want %d and %q\n%s%s", args, status, want, s, out,
					errs)
			}
		}
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(cmdline.Usual, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check("config check", 0, "the embedded default is good")
	check("config show", 0, "# The embedded default.\n")
	check("queue list", 69, "no node answers at postroad-data/admin.sock: ")
	write("[node]\nname = \"usual\"\ndata_dir = \"data\"\n[relay]\nnetworks = [\"0.0.0.0/0\"]\n" +
		"[admin]\ntoken_file = \"nothing\"\n")
	check("config show", 0, "# "+cmdline.Usual+"\n", `= "usual"`, filepath.Join(dir, "data"))
	check("config show --config=", 0, "# The embedded default.\n")
	// A token is for HOST:PORT alone, so that whoever may not read it can use the socket.
	check("queue list", 69, "no node answers at "+filepath.Join(dir, "data", "admin.sock")+
		", where "+cmdline.Usual+" has it: ")
	check("queue list --node 127.0.0.1:1 --config "+cmdline.Usual, 78, "nothing: no such file")
	check("cluster recover", 78, "the configuration is "+cmdline.Usual+", the data directory "+
		filepath.Join(dir, "data")+"\n", "there is no node in")
	check("queue salvage --list", 78, "the configuration is "+cmdline.Usual)
	check("config check", 78, cmdline.Usual+":7:1: admin.token_file")
	check("serve", 78, cmdline.Usual+":7:1: admin.token_file")
	write("[relay]\nnetworks = [\"0.0.0.0/0\"]\n")
	check("config check", 0, "warning: "+cmdline.Usual+":2:13: relay.networks[0]: 0.0.0.0/0 may "+
		"relay without a password", "\n"+cmdline.Usual+" is good\n")
	write("[limits]\nmemry = 1\n")
	check("serve", 78, cmdline.Usual+":2:1: limits.memry")
	check("user list", 78, cmdline.Usual+":2:1: limits.memry")
	check("config check --config=", 0, "the embedded default is good")
}

// TestNextCommand: what is to be typed next names the file that was named.
func TestNextCommand(t *testing.T) {
	for want, f := range map[string]cmdline.File{
		"postroad serve":                 {},
		`postroad serve --config ""`:     {Given: true},
		"postroad serve --config a.toml": {Path: "a.toml", Given: true},
	} {
		if got := f.Serve(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestNotPermitted: whoever may not read the file is told what to do.
func TestNotPermitted(t *testing.T) {
	err := cmdline.ConfigError(&fs.PathError{Op: "open", Path: "/etc/x", Err: syscall.EACCES})
	var said *api.Error
	if !errors.As(err, &said) || said.Exit != api.ExitPermission ||
		!strings.Contains(said.Hint, "--node DATA-DIRECTORY") {
		t.Errorf("%+v", err)
	}
}
