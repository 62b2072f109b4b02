package directory

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestSigningKeys: keys of a domain are found together, whatever came when, also after a restart.
func TestSigningKeys(t *testing.T) {
	e, store := newEditor(t)
	now := clockStart
	e.Now = func() time.Time { return now }
	ctx := context.Background()
	add := func(domain, selector string) error {
		return e.AddKey(ctx, &SigningKey{Name: KeyName(domain, selector), Algorithm: "rsa",
			Bits: 2048, Sealed: []byte("sealed"), State: KeyNew})
	}
	for _, name := range [][2]string{
		{"b.example", "s1"}, {"a.example", "s2"}, {"a.example", "s1"}, {"a.example", "x.y"},
	} {
		must(t, add(name[0], name[1]))
	}
	for _, bad := range [][2]string{
		{"A.example", "s1"}, {"a.example", ""}, {"a.example", "S1"}, {"a.example", "s1/s2"},
		{"", "s1"}, {"a.example", "s_1 "},
	} {
		var wrong *Wrong
		if err := add(bad[0], bad[1]); !errors.As(err, &wrong) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := add("a.example", "s1"); !errors.Is(err, ErrKeyExists) {
		t.Errorf("a second time: %v", err)
	}

	now = now.Add(time.Hour)
	k, _ := e.Directory.SigningKey("a.example/s1")
	active := *k
	active.State = KeyActive
	must(t, e.SetKey(ctx, &active))
	now = now.Add(time.Hour)
	resealed := active
	resealed.Sealed = []byte("sealed anew")
	must(t, e.SetKey(ctx, &resealed))
	if err := e.RemoveKey(ctx, "a.example/none"); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a key that is not there: %v", err)
	}
	must(t, e.RemoveKey(ctx, "a.example/s2"))

	restarted := New()
	must(t, restarted.Load(store))
	for name, d := range map[string]*Directory{"before": e.Directory, "after": restarted} {
		keys := d.KeysOf("a.example")
		if len(keys) != 2 || keys[0].Selector() != "s1" || keys[1].Selector() != "x.y" ||
			len(d.KeysOf("b.example")) != 1 || d.KeysOf("c.example") != nil {
			t.Fatalf("%s the restart: %+v", name, keys)
		}
		k := keys[0]
		if k.State != KeyActive || string(k.Sealed) != "sealed anew" ||
			!k.Since.Equal(clockStart.Add(time.Hour)) || k.Domain() != "a.example" {
			t.Errorf("%s the restart: %+v", name, k)
		}
		if all := d.SigningKeys("", 0); len(all) != 3 {
			t.Errorf("%s the restart: %d keys", name, len(all))
		}
	}
}
