package directory

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	rowstest "github.com/postroad/postroad/internal/testkit/rows"
)

func TestDomainsAndAliases(t *testing.T) {
	e, s := newEditor(t)
	wrong := func(what string, err error, want error) {
		t.Helper()
		var bad *Wrong
		if want == nil && !errors.As(err, &bad) || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	wrong(
		"an alias in no domain",
		e.AddAlias(ctx, "a@grün.example", []string{"b@x.example"}, ""),
		nil,
	)
	must(t, e.AddDomain(ctx, "GRÜN.example", "+"))
	wrong("twice", e.AddDomain(ctx, "xn--grn-ioa.example", "+"), ErrDomainExists)
	wrong("a literal", e.AddDomain(ctx, "[192.0.2.1]", "+"), nil)
	wrong("a separator of two", e.AddDomain(ctx, "x.example", "++"), nil)
	wrong("a separator that is a letter", e.AddDomain(ctx, "x.example", "x"), nil)
	wrong("set of none", e.SetDomain(ctx, "x.example", "-"), ErrUnknownDomain)
	wrong("remove of none", e.RemoveDomain(ctx, "x.example", false), ErrUnknownDomain)
	must(t, e.SetDomain(ctx, "grün.example", ""))
	if d, ok := e.Directory.Domain("xn--grn-ioa.example"); !ok || d.Separator != "" ||
		d.Version == 0 {
		t.Errorf("the domain is %+v", d)
	}

	must(t, e.Add(ctx, "user@grün.example", "pw", Settings{}))
	wrong(
		"a user's name",
		e.AddAlias(ctx, "user@grün.example", []string{"b@x.example"}, ""),
		ErrExists,
	)
	must(
		t,
		e.AddAlias(
			ctx,
			"Both@grün.example",
			[]string{"user@grün.example", "Who@x.example"},
			"owner@grün.example",
		),
	)
	wrong("an alias's name", e.Add(ctx, "both@grün.example", "pw", Settings{}), ErrAliasExists)
	wrong(
		"twice",
		e.AddAlias(ctx, "both@grün.example", []string{"b@x.example"}, ""),
		ErrAliasExists,
	)
	wrong("to nobody", e.AddAlias(ctx, "none@grün.example", nil, ""), nil)
	wrong("to no address", e.AddAlias(ctx, "none@grün.example", []string{"who"}, ""), nil)
	wrong("to many", e.AddAlias(ctx, "none@grün.example", make([]string, maxTargets+1), ""), nil)
	wrong(
		"owned by nobody",
		e.AddAlias(ctx, "none@grün.example", []string{"b@x.example"}, "who"),
		nil,
	)
	wrong(
		"a list of everybody",
		e.AddAlias(ctx, "@grün.example", []string{"b@x.example"}, "owner@x.example"),
		nil,
	)
	must(t, e.AddAlias(ctx, "@grün.example", []string{"user@grün.example"}, ""))
	wholeDomains(t, e)
	must(
		t,
		e.EditAlias(
			ctx,
			"both@grün.example",
			func(to []string, owner string) ([]string, string) { return to[1:], owner },
		),
	)
	a, ok := e.Directory.Alias("both@xn--grn-ioa.example")
	if !ok || !reflect.DeepEqual(a.Targets, []string{"Who@x.example"}) ||
		a.Owner != "owner@grün.example" {
		t.Errorf("the list is %+v", a)
	}
	wrong(
		"edit of none",
		e.EditAlias(
			ctx,
			"none@grün.example",
			func(to []string, owner string) ([]string, string) { return to, owner },
		),
		ErrUnknownAlias,
	)
	wrong("remove of none", e.RemoveAlias(ctx, "none@grün.example"), ErrUnknownAlias)

	again := New()
	must(t, again.Load(s))
	if !reflect.DeepEqual(again.Aliases("", 0), e.Directory.Aliases("", 0)) ||
		len(again.Aliases("", 0)) != 2 ||
		len(again.Domains("", 0)) != 1 {
		t.Errorf("after a start: %v, %v", again.Aliases("", 0), again.Domains("", 0))
	}
	restored := rowstest.New(New())
	for _, row := range []string{"uuser@xn--grn-ioa.example", "aboth@xn--grn-ioa.example",
		"a@xn--grn-ioa.example", "dxn--grn-ioa.example"} {
		command, ok := Restore([]byte(row), []byte(s.KV[row]))
		if !ok {
			t.Fatalf("row %s of a backup", row)
		}
		restored.Propose(ctx, command, nil)
	}
	if len(restored.KV) != len(s.KV) {
		t.Errorf("a restored backup has rows %v", slicesOf(restored.KV))
	}
	for _, row := range []string{"n", "na", "cc", "sx\x00y", ""} {
		if _, ok := Restore([]byte(row), []byte("\x01{}")); ok {
			t.Errorf("row %q was restored", row)
		}
	}

	wrong("with addresses in it", e.RemoveDomain(ctx, "grün.example", false), nil)
	must(t, e.RemoveAlias(ctx, "@grün.example"))
	must(t, e.RemoveAlias(ctx, "both@grün.example"))
	must(t, e.Remove(ctx, "user@grün.example"))
	must(t, e.RemoveDomain(ctx, "grün.example", false))
	for _, key := range []string{"n", "na", "nd"} {
		if strings.Trim(s.KV[key], "\x00") != "" {
			t.Errorf("count %q is %x", key, s.KV[key])
		}
	}
}

func slicesOf(m map[string]string) (keys []string) {
	for k := range maps.Keys(m) {
		keys = append(keys, k)
	}
	return keys
}

// Rows of the version before domains and mailboxes load as they are: their users have mailboxes if
// their domains are local.
func TestRowsOfOlderVersions(t *testing.T) {
	old := "\x01" +
		`{"name":"a@example.com","tenant":"t","hash":"$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$MDEyMzQ1Njc4OWFiY2RlZg","messages":{"n":5,"per":3600000000000},"created":"2026-01-01T00:00:00Z","changed":"2026-01-01T00:00:00Z","version":7}`
	d := New()
	s := rowstest.New(d)
	s.KV["ua@example.com"], s.KV["n"] = old, "\x00\x00\x00\x00\x00\x00\x00\x01"
	must(t, d.Load(s))
	u, ok := d.Get("a@example.com")
	if !ok || u.NoMailbox || u.Tenant != "t" || u.Messages.N != 5 || u.Version != 7 {
		t.Fatalf("%+v", u)
	}
	// So do commands of the older version that are still in the log.
	if r, err := s.Propose(ctx, []byte("\x01\x02"+`{"name":"a@example.com","hash":"x"}`),
		nil); err != nil ||
		r != Done {
		t.Fatalf("a command of the older version: %v, %v", r, err)
	}
	// A stage command of nothing, of an empty stage or of users that are none changes nothing.
	for _, c := range []string{"\x01\x0a{}", "\x01\x0b{}",
		"\x01\x0c" + `{"stage":"x","names":["a"]}`, "\x01\x0a" + `{"stage":"x","users":[{}]}`} {
		before := maps.Clone(s.KV)
		if _, err := s.Propose(ctx, []byte(c), nil); err != nil || !maps.Equal(before, s.KV) {
			t.Errorf("%q: %v", c, err)
		}
	}
}

// wholeDomains stand for others, in no circle, and only when all members know what that is.
func wholeDomains(t *testing.T, e *Editor) {
	t.Helper()
	e.Local = func(domain string) bool { return true }
	defer func() { e.Local = nil }()
	refused := errors.New("an older member")
	e.Kept = func() error { return refused }
	if err := e.AddAlias(ctx, "@a.example", []string{"@b.example"}, ""); err != refused {
		t.Errorf("beside an older member: %v", err)
	}
	e.Kept = func() error { return nil }
	must(t, e.AddAlias(ctx, "@a.example", []string{"@B.example", "x@c.example"}, ""))
	must(t, e.AddAlias(ctx, "@b.example", []string{"@c.example"}, ""))
	if a, _ := e.Directory.Alias("@a.example"); !slices.Equal(a.Targets,
		[]string{"@b.example", "x@c.example"}) {
		t.Errorf("the targets are %v", a.Targets)
	}
	var wrong *Wrong
	for name, to := range map[string]string{"@c.example": "@a.example", "@d.example": "@d.example",
		"u@d.example": "@a.example", "@e.example": "@", "@f.example": "@[192.0.2.1]"} {
		if err := e.AddAlias(ctx, name, []string{to}, ""); !errors.As(err, &wrong) {
			t.Errorf("%s -> %s: %v", name, to, err)
		}
	}
	must(t, errors.Join(e.RemoveAlias(ctx, "@a.example"), e.RemoveAlias(ctx, "@b.example")))
}
