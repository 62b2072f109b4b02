package directory

import (
	"errors"
	"fmt"
	"runtime"
	"testing"

	rowstest "github.com/postroad/postroad/internal/testkit/rows"
)

func TestImportAndCommit(t *testing.T) {
	e, s := newEditor(t)
	s.Answer = func(result any) (any, error) { // as over the wire
		b, ok := AppendResult(nil, result)
		if !ok {
			t.Fatalf("%T has no form on the wire", result)
		}
		r, _ := ParseResult(b)
		return r, nil
	}
	must(t, e.Add(ctx, "there@example.com", "pw", Settings{Tenant: "old"}))
	var batch []Imported
	for i := range 1000 {
		batch = append(
			batch,
			Imported{
				Name:     fmt.Sprintf("U%03d@example.com", i),
				Hash:     "x",
				Settings: Settings{Hard: 5},
			},
		)
	}
	batch = append(
		batch,
		Imported{Name: "there@example.com"},
		Imported{Name: "nobody"},
		Imported{Name: "b@example.com", Settings: Settings{Soft: 2, Hard: 1}},
	)
	refused, err := e.Import(ctx, "first", batch, false)
	must(t, err)
	if len(refused) != 3 || refused[0].Number != 1000 || !errors.Is(refused[0].Why, ErrExists) ||
		refused[1].Number != 1001 ||
		refused[2].Number != 1002 {
		t.Fatalf("refused: %v", refused)
	}
	if _, err := e.Import(ctx, "no name", batch, false); err == nil {
		t.Error("a stage of any name")
	}
	if got := e.Directory.List("", 0); len(got) != 1 {
		t.Fatalf("%d users are visible before they are published", len(got))
	}
	if got := len(s.Log); got != 5 { // the user, and 1,000 in batches of 250
		t.Errorf("%d commands", got)
	}
	for _, command := range s.Log {
		if len(command) > 2*batchBytes {
			t.Errorf("a command of %d octets", len(command))
		}
	}
	// Somebody makes one of them meanwhile, and an alias of the name of another.
	must(t, e.Add(ctx, "u500@example.com", "pw", Settings{Tenant: "mine"}))
	must(t, e.AddDomain(ctx, "example.com", "+"))
	must(t, e.AddAlias(ctx, "u700@example.com", []string{"x@example.org"}, ""))
	told := 0
	committed, kept, err := e.Commit(ctx, "first", func(n int) { told = n })
	if err != nil || committed != 998 || kept != 2 || told != 1000 {
		t.Fatalf("published %d, kept %d, told %d, %v", committed, kept, told, err)
	}
	if u, ok := e.Directory.Get("u999@example.com"); !ok || u.Hard != 5 || u.Version == 0 ||
		!u.Created.Equal(clockStart) {
		t.Errorf("a published user: %+v", u)
	}
	if u, _ := e.Directory.Get("u500@example.com"); u.Tenant != "mine" {
		t.Errorf("the user who was there is now %+v", u)
	}
	if stages, err := e.Directory.Imports(); err != nil || len(stages) != 1 ||
		stages[0] != (Import{"first", 2}) {
		t.Errorf("stages %v, %v", stages, err)
	}
	if _, err := e.Discard(ctx, "first", nil); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{"publish": second(e.Commit(ctx, "first", nil)),
		"discard": first(e.Discard(ctx, "first", nil))} {
		if !errors.Is(err, ErrNoImport) {
			t.Errorf("%s of nothing: %v", what, err)
		}
	}
	if s.KV["ns"] != "\x00\x00\x00\x00\x00\x00\x00\x00" {
		t.Errorf("%x are said to be staged", s.KV["ns"])
	}
	if s.KV["n"] != "\x00\x00\x00\x00\x00\x00\x03\xe8" { // 998, there and u500
		t.Errorf("%x users are counted", s.KV["n"])
	}
	other := rowstest.New(New())
	for _, data := range s.Log {
		other.Propose(ctx, data, nil)
	}
	if fmt.Sprint(other.KV) != fmt.Sprint(s.KV) {
		t.Error("two members that applied the same commands differ")
	}
}

func first(_ int, err error) error     { return err }
func second(_, _ int, err error) error { return err }

func TestStageReplaces(t *testing.T) {
	e, _ := newEditor(t)
	must(t, e.Add(ctx, "a@example.com", "pw", Settings{Tenant: "old"}))
	refused, err := e.Import(
		ctx,
		"s",
		[]Imported{{Name: "a@example.com", Hash: "x"}, {Name: "b@example.com", Hash: "y"}},
		true,
	)
	if err != nil || len(refused) > 0 {
		t.Fatal(refused, err)
	}
	if u, _ := e.Directory.Get("a@example.com"); u.Tenant != "old" {
		t.Fatal("replaced before it was published")
	}
	if committed, kept, err := e.Commit(ctx, "s", nil); committed != 2 || kept != 0 || err != nil {
		t.Fatal(committed, kept, err)
	}
	if u, _ := e.Directory.Get("a@example.com"); u.Tenant != "" || u.Hash != "x" {
		t.Errorf("after it: %+v", u)
	}
}

func TestStageIsBounded(t *testing.T) {
	e, _ := newEditor(t)
	e.Directory.tables[users].limit = 3
	batch := []Imported{
		{Name: "a@example.com"},
		{Name: "b@example.com"},
		{Name: "c@example.com"},
		{Name: "d@example.com"},
	}
	if _, err := e.Import(ctx, "s", batch, false); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	must(t, e.Add(ctx, "x@example.com", "pw", Settings{}))
	if _, _, err := e.Commit(ctx, "s", nil); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	if got := e.Directory.List("", 0); len(got) != 3 {
		t.Errorf("%d users of three", len(got))
	}
}

// A user costs little memory: each node has all of them.
func TestMemoryOfUsers(t *testing.T) {
	const count = 20_000
	e, s := newEditor(t)
	var batch []Imported
	for i := range count {
		batch = append(
			batch,
			Imported{
				Name: fmt.Sprintf("user%06d@example.com", i),
				Hash: "$argon2id$v=19$m=65536,t=3,p=1$qNLvw1OXeiFpPd9ULyBvpQ$Gv4OQhm40roi1xuHPdokTAB+XH8oM7nTHFksOASXRNk",
			},
		)
	}
	if _, err := e.Import(ctx, "s", batch, false); err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.Commit(ctx, "s", nil); err != nil {
		t.Fatal(err)
	}
	batch, s.Log = nil, nil
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	d := New()
	must(t, d.Load(s))
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (after.HeapAlloc - before.HeapAlloc) / count
	t.Logf("%d octets for each user", each)
	if len(d.List("user019998", 0)) != 2 || each > 800 {
		t.Errorf("%d octets for each user", each)
	}
}
