package directory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	rowstest "github.com/postroad/postroad/internal/testkit/rows"
)

var ctx = context.Background()

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAddChangeRemove(t *testing.T) {
	e, _ := newEditor(t)
	must(
		t,
		e.Add(
			ctx,
			"Bob@Example.COM",
			"secret",
			Settings{Tenant: "t1", Senders: []string{"Sales@example.com", "@GRÜN.example"}},
		),
	)
	if err := e.Add(ctx, "bob@example.com", "other", Settings{}); !errors.Is(err, ErrExists) {
		t.Fatalf("a second bob: %v", err)
	}
	bob, ok := e.Directory.Get("bob@example.com")
	if !ok || bob.Tenant != "t1" || bob.Version != 1 || bob.Scram != nil ||
		!bob.Created.Equal(clockStart) {
		t.Fatalf("bob is %+v, %v", bob, ok)
	}
	if ok, err := VerifyPassword(bob.Hash, "secret"); !ok || err != nil {
		t.Fatalf("his password is not accepted: %v", err)
	}
	for sender, may := range map[string]bool{"bob@example.com": true, "sales@example.com": true,
		"any@xn--grn-ioa.example": true,
		"alice@example.com":       false, "bob@sub.xn--grn-ioa.example": false, "": false,
		"@example.com": false} {
		if bob.MaySend(sender) != may {
			t.Errorf("MaySend(%q) = %v", sender, !may)
		}
	}

	must(t, e.Passwd(ctx, "BOB@example.com", "new one"))
	changed, _ := e.Directory.Get("bob@example.com")
	if ok, _ := VerifyPassword(changed.Hash, "secret"); ok || changed.Version <= bob.Version ||
		changed.Tenant != "t1" {
		t.Fatalf("after passwd: %+v", changed)
	}
	if ok, _ := VerifyPassword(bob.Hash, "secret"); !ok {
		t.Fatal("the old value was changed in place")
	}
	must(
		t,
		e.Edit(
			ctx,
			"bob@example.com",
			to(Settings{Disabled: true, Messages: Rate{100, time.Hour}}),
		),
	)
	if u, _ := e.Directory.Get("bob@example.com"); !u.Disabled || u.Messages.N != 100 ||
		u.Tenant != "" {
		t.Fatalf("after set: %+v", u)
	}
	must(t, e.Remove(ctx, "bob@example.com"))
	if _, ok := e.Directory.Get("bob@example.com"); ok {
		t.Fatal("bob is still there")
	}
	for name, err := range map[string]error{"passwd": e.Passwd(ctx, "bob@example.com", "x"),
		"remove": e.Remove(ctx, "bob@example.com"),
		"set":    e.Edit(ctx, "bob@example.com", to(Settings{}))} {
		if !errors.Is(err, ErrUnknown) {
			t.Errorf("%s of nobody: %v", name, err)
		}
	}
}

func TestScramOnlyWhenEnabled(t *testing.T) {
	e, _ := newEditor(t)
	must(t, e.Add(ctx, "a@example.com", "pw", Settings{}))
	if err := e.Edit(ctx, "a@example.com", to(Settings{Scram: true})); err == nil {
		t.Fatal("SCRAM keys out of nothing")
	}
	must(t, e.EnableScram(ctx, "a@example.com", "pw"))
	first, _ := e.Directory.Get("a@example.com")
	if first.Scram == nil || len(first.Scram.StoredKey) != 32 || first.Scram.Iterations < 4096 {
		t.Fatalf("keys %+v", first.Scram)
	}
	must(t, e.Passwd(ctx, "a@example.com", "pw2"))
	if u, _ := e.Directory.Get("a@example.com"); u.Scram == nil ||
		reflect.DeepEqual(u.Scram, first.Scram) {
		t.Fatal("the keys were not renewed with the password")
	}
	must(t, e.Edit(ctx, "a@example.com", to(Settings{})))
	if u, _ := e.Directory.Get("a@example.com"); u.Scram != nil {
		t.Fatal("the keys were not dropped")
	}
}

func TestEditorRefuses(t *testing.T) {
	e, s := newEditor(t)
	long := strings.Repeat("x", 1001)
	many := make([]string, maxSenders+1)
	for i := range many {
		many[i] = fmt.Sprintf("s%d@example.com", i)
	}
	for name, err := range map[string]error{
		"no domain":       e.Add(ctx, "bob", "pw", Settings{}),
		"no local part":   e.Add(ctx, "@example.com", "pw", Settings{}),
		"two ats":         e.Add(ctx, "a@b@example.com", "pw", Settings{}),
		"bracket":         e.Add(ctx, "a>@example.com", "pw", Settings{}),
		"line break":      e.Add(ctx, "a\r\n@example.com", "pw", Settings{}),
		"empty password":  e.Add(ctx, "a@example.com", "", Settings{}),
		"long password":   e.Add(ctx, "a@example.com", long, Settings{}),
		"NUL in password": e.Add(ctx, "a@example.com", "a\x00b", Settings{}),
		"bad sender":      e.Add(ctx, "a@example.com", "pw", Settings{Senders: []string{"@"}}),
		"many senders":    e.Add(ctx, "a@example.com", "pw", Settings{Senders: many}),
		"bad rate":        e.Add(ctx, "a@example.com", "pw", Settings{Messages: Rate{N: 5}}),
		"long tenant":     e.Add(ctx, "a@example.com", "pw", Settings{Tenant: long}),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if len(s.Log) != 0 {
		t.Errorf("%d commands were proposed", len(s.Log))
	}
}

// A reader sees a change only when it is in the store.
func TestViewFollowsTheStore(t *testing.T) {
	e, s := newEditor(t)
	s.Held = true
	must(t, e.Add(ctx, "a@example.com", "pw", Settings{}))
	if _, ok := e.Directory.Get("a@example.com"); ok {
		t.Fatal("visible before the batch was committed")
	}
	e.Directory.Committed()
	if _, ok := e.Directory.Get("a@example.com"); !ok {
		t.Fatal("not visible after it")
	}
}

// A new start reads the same users; a second member that applies the same commands has the same
// state.
func TestReloadAndReplay(t *testing.T) {
	e, s := newEditor(t)
	for i := range 20 {
		must(
			t,
			e.Add(
				ctx,
				fmt.Sprintf("u%02d@example.com", i),
				"pw",
				Settings{Senders: []string{"x@example.com"}},
			),
		)
	}
	must(t, e.Remove(ctx, "u03@example.com"))
	must(t, e.Passwd(ctx, "u04@example.com", "other"))

	again := New()
	must(t, again.Load(s))
	if a, b := e.Directory.List("", 0), again.List("", 0); len(a) != 19 ||
		!reflect.DeepEqual(a, b) {
		t.Fatalf("after a start: %d users, before %d", len(b), len(a))
	}
	if got := again.List("u10@example.com", 2); len(got) != 2 || got[0].Name != "u11@example.com" ||
		got[1].Name != "u12@example.com" {
		t.Fatalf("a page: %v", got)
	}

	other := rowstest.New(New())
	for _, data := range s.Log {
		if _, err := other.Propose(ctx, data, nil); err != nil {
			t.Fatal(err)
		}
	}
	if !maps.Equal(s.KV, other.KV) {
		t.Fatal("two members that applied the same commands differ")
	}
}

func TestFull(t *testing.T) {
	e, _ := newEditor(t)
	e.Directory.tables[users].limit = 2
	must(t, e.Add(ctx, "a@example.com", "pw", Settings{}))
	must(t, e.Add(ctx, "b@example.com", "pw", Settings{}))
	if err := e.Add(ctx, "c@example.com", "pw", Settings{}); !errors.Is(err, ErrFull) {
		t.Fatalf("the third of two: %v", err)
	}
	must(t, e.Remove(ctx, "a@example.com"))
	must(t, e.Add(ctx, "c@example.com", "pw", Settings{}))
}

func TestUnknownCommandsPanic(t *testing.T) {
	for name, data := range map[string][]byte{"empty": nil, "version": {99, 1, '{', '}'},
		"type": {commandVersion, 200, '{', '}'}, "body": {commandVersion, 1, '{'}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: applied", name)
				}
			}()
			e, s := newEditor(t)
			e.Directory.Apply(s, 1, 1, data, nil)
		}()
	}
}

func TestLoadReportsDamage(t *testing.T) {
	for _, v := range []string{"", "\x07{}", "\x01{"} {
		d := New()
		if err := d.Load(&rowstest.Store{KV: map[string]string{"ua@example.com": v}}); err == nil {
			t.Errorf("record %q was loaded", v)
		}
	}
}

type refusing struct{}

func (refusing) Propose(context.Context, []byte, [][]byte) (any, error) {
	return nil, errors.New("no leader")
}

func TestProposerErrors(t *testing.T) {
	e, _ := newEditor(t)
	e.Proposer = refusing{}
	if err := e.Add(ctx, "a@example.com", "pw", Settings{}); err == nil ||
		!strings.Contains(err.Error(), "no leader") {
		t.Fatal(err)
	}
}

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{"a@b.example": "a@b.example",
		"A.B@EXAMPLE.com": "a.b@example.com", "u\u0308@x.example": "ü@x.example",
		"a+b@GRÜN.example": "a+b@xn--grn-ioa.example"} {
		if got, err := Canonical(in); err != nil || got != want {
			t.Errorf("Canonical(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { Canonical("user.name-1@example.com") }); n != 0 {
		t.Errorf("Canonical allocates %v times in the common case", n)
	}
}

func TestPasswordForms(t *testing.T) {
	hash, err := HashPassword("u\u0308ber", cheap)
	must(t, err)
	if ok, _ := VerifyPassword(hash, "über"); !ok {
		t.Error("two spellings of one password differ (RFC 8265)")
	}
	for _, wrong := range []string{"", "uber", "über ", "a\x00b", strings.Repeat("x", 2000)} {
		if ok, err := VerifyPassword(hash, wrong); ok || err != nil {
			t.Errorf("%.10q: %v, %v", wrong, ok, err)
		}
	}
	for _, bad := range []string{"", "secret", "$2y$10$abcdefghijklmnopqrstuv",
		strings.Replace(hash, "m=8", "m=99999999", 1),
		strings.Replace(hash, "t=1", "t=100", 1), strings.Replace(hash, "t=1", "t=0", 1),
		strings.Replace(hash, "p=1", "p=200", 1),
		strings.Replace(hash, "argon2id", "argon2i", 1), strings.Replace(hash, "v=19", "v=16", 1),
		hash + "$", hash[:len(hash)-30]} {
		if ok, err := VerifyPassword(bad, "über"); ok || err == nil {
			t.Errorf("hash %q: %v, %v", bad, ok, err)
		}
	}
}

func FuzzPHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$MDEyMzQ1Njc4OWFiY2RlZg")
	f.Add("$argon2id$v=19$m=4294967295,t=4294967295,p=255$$")
	f.Fuzz(func(t *testing.T, s string) {
		cost, salt, key, err := parsePHC(s)
		if err == nil &&
			(cost.MemoryKiB > maxMemoryKiB || cost.Passes > maxPasses || cost.Passes == 0 ||
				cost.Lanes == 0 || len(salt) < minSalt || len(key) < minKey) {
			t.Fatalf("%q: %+v, %d, %d", s, cost, len(salt), len(key))
		}
	})
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"Bob@Example.com", "ü@grün.example", `"a b"@x.example`,
		"a@[1.2.3.4]", "İ@x.example", "@"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Canonical(s)
		if err != nil {
			return
		}
		if again, err := Canonical(c); err != nil || again != c {
			t.Fatalf("%q gives %q, which gives %q, %v", s, c, again, err)
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Add(
		encodeRecord(
			&User{
				Name:     "a@example.com",
				Senders:  []string{"@b.example"},
				Messages: Rate{1, time.Hour},
			},
		),
	)
	f.Add([]byte{1, '{', '}'})
	f.Fuzz(func(t *testing.T, b []byte) {
		u, back := new(User), new(User)
		if decodeRecord(b, u) != nil {
			return
		}
		err := decodeRecord(encodeRecord(u), back)
		if err != nil || back.Name != u.Name || back.Hash != u.Hash || back.Version != u.Version {
			t.Fatalf("%q: %+v, %+v, %v", b, u, back, err)
		}
	})
}
