package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/operate/admin/api"
)

// TestOrdinaryRefusals: what comes of a slip, or of another program, is no fault of this one, and
// says what to do.
func TestOrdinaryRefusals(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	node := func(name string) string {
		return file(name+".toml", fmt.Sprintf("[node]\nname = %q\ndata_dir = %q\n", name,
			filepath.Join(dir, name)))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	door, err := wire.Wait(l, func() []string { return []string{wire.NewToken()} }, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	here, mx1, mx2, token := l.Addr().String(), node("mx1"), node("mx2"), wire.NewToken()
	backup := fmt.Sprintf("{\"what\":%q,\"format\":1,\"cluster\":\"c\"}\n",
		"postroad control group")
	whole, cut, other := file("whole", backup+"{}\n"), file("cut", backup), file("other", "hello\n")
	check := func(args string, want int, says string) {
		t.Helper()
		status, _, errs := postroad(t, "", strings.Fields(args)...)
		if status != want || !strings.Contains(errs, says) {
			t.Errorf("%s: exit %d, want %d: %s", args, status, want, errs)
		}
	}
	check("cluster join --config "+mx1+" --token "+token+" "+here, 77,
		"`postroad cluster token` on a node")
	check("cluster join --config "+mx1+" --token short "+here, 65, "at least 16 characters")
	check("cluster join --config "+mx1+" --token-file "+dir+"/none "+here, 65, "name another file")
	open := file("open", token+"\n")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755),
		os.Chmod(open, 0o644)); err != nil {
		t.Fatal(err)
	}
	check("cluster join --config "+mx1+" --token-file "+open+" "+here, 65, "chmod 600")
	check("cluster join --config "+mx1+" --token "+token+" 127.0.0.1:1", 69, "cluster.advertise")
	check("cluster restore --config "+mx2+" "+other, 65, "`postroad cluster backup FILE` makes one")
	check("cluster restore --config "+mx2+" "+cut, 65, "cut off")
	check("cluster restore --config "+mx2+" "+dir, 65, "is a directory")
	check("cluster recover --config "+mx2, 78, "there is no node in "+dir)
	check("queue salvage --list --config "+mx2, 78, "there is no node in "+dir)
	check("cluster restore --config "+mx2+" "+whole, 0, "is restored")
	check("cluster restore --config "+mx2+" "+whole, 78, "into an empty data directory")
	check("cluster join --config "+mx2+" --token "+token+" "+here, 78,
		"only an empty data directory")
	check("bench sink --listen "+here, 75, "another program has "+here)
	for n, section := range []string{"[admin]\n", "[[listener]]\n"} {
		name := fmt.Sprintf("mx%d", n+5)
		busy := file(name+".toml", fmt.Sprintf("[node]\nname = %q\ndata_dir = %q\n[events]\n"+
			"file = \"\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n%saddress = %q\n", name,
			filepath.Join(dir, name), section, here))
		check("serve --config "+busy, 78, "another program has "+here)
	}
	check("cluster recover --config "+mx2, 0, "nothing was changed; with --accept-loss")

	file("mx2/cluster/addresses.json", "{")
	check("queue salvage --list --config "+mx2, 78, "remove it")
	file("mx2/cluster/addresses.json", "{}")

	store, err := cluster.Open(cluster.Options{Dir: filepath.Join(dir, "mx2")})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for _, args := range []string{"serve", "cluster recover", "queue salvage --list"} {
		check(args+" --config "+mx2, 75, "it is in use")
	}
}

// TestPlaced: what a command on a data directory finds there decides its exit status.
func TestPlaced(t *testing.T) {
	lock := func(err error) error {
		return fmt.Errorf("lock: %w", &fs.PathError{Op: "open", Path: "/data/lock", Err: err})
	}
	for _, c := range []struct {
		err  error
		exit int
		word string
	}{
		{lock(syscall.EROFS), 74, "read-only"},
		{lock(syscall.EACCES), 77, "run the command as"},
		{lock(syscall.ENOSPC), 75, "full"},
		{lock(syscall.EIO), 74, "dmesg"},
		{fmt.Errorf("open node: %w", cluster.ErrInUse), 75, "let it end"},
		{fmt.Errorf("open node: %w", cluster.ErrLost), 78, "postroad cluster replace"},
	} {
		var said *api.Error
		if !errors.As(placed("recover", c.err), &said) || said.Exit != c.exit ||
			!strings.Contains(said.Hint, c.word) {
			t.Errorf("%v: %+v", c.err, said)
		}
	}
}
