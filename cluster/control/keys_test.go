package control

import (
	"testing"
	"time"
)

// TestKeys: a key is recorded once, a join that is repeated brings another, and another authority
// ends all.
func TestKeys(t *testing.T) {
	b := newBench(t)
	b.members("mx1")
	m1, _ := b.State.Member(1)
	refused(t, b.SetKey(ctx, 1, m1.Incarnation, "k1"), ErrInvalid, "needs protocol 6")
	must(t, b.SetVersion(ctx, 1, "2.0", KeysProtocol))
	must(t, b.SetKey(ctx, 1, m1.Incarnation, "k1"))
	must(t, b.SetKey(ctx, 1, m1.Incarnation, "k1"))
	refused(t, b.SetKey(ctx, 1, m1.Incarnation, "k9"), ErrInvalid, "another key")
	refused(t, b.SetKey(ctx, 1, 99, "k1"), ErrInvalid, "another disk")

	n := b.node("mx2")
	n.Protocol, n.Key = KeysProtocol, "k2"
	m, err := b.AddMember(ctx, n)
	must(t, err)
	if m.Key != "k2" || b.State.Admit(2, n.Incarnation, "forged") == nil {
		t.Errorf("joined as %+v", m)
	}
	n.Key = "k2 again" // the answer was lost
	if m, err = b.AddMember(ctx, n); err != nil || m.ID != 2 || m.Key != n.Key {
		t.Errorf("again: %+v, %v", m, err)
	}
	must(t, b.State.Admit(2, n.Incarnation, n.Key))
	must(t, b.Activate(ctx, 2))
	n.Key = "stolen" // by somebody who has a copy of its first request
	_, err = b.AddMember(ctx, n)
	refused(t, err, ErrExists, "has another key")

	must(t, b.Refound(ctx, "c2", []byte("cert"), []byte("key")))
	for _, m := range b.State.Members() {
		if m.Key != "" {
			t.Errorf("after another authority: %+v", m)
		}
	}
}

// TestTokensEnd: whoever leaves may have kept a token.
func TestTokensEnd(t *testing.T) {
	for name, leave := range map[string]func(b *bench) error{
		"remove":  func(b *bench) error { return b.Remove(ctx, 2) },
		"replace": func(b *bench) error { return b.Replace(ctx, 2, 3) },
	} {
		b := newBench(t)
		b.members("mx1", "mx2", "mx3")
		for _, m := range b.State.Members() {
			must(t, b.SetVersion(ctx, m.ID, "2.0", KeysProtocol))
		}
		_, err := b.AddToken(ctx, time.Hour, 0)
		must(t, err)
		const filed = "a token in the nodes' files"
		must(t, b.AddSecret(ctx, filed, 0))
		must(t, leave(b))
		if left := b.State.TokenList(b.now); len(left) != 1 || !b.State.Knows(filed, b.now) {
			t.Errorf("%s: %v are left", name, left)
		}
		must(t, b.EndTokens(ctx))
		if left := b.State.TokenList(b.now); len(left) != 0 {
			t.Errorf("%s: %v are left", name, left)
		}
	}
}

// TestKeysOfOlder: beside a member that would not keep a key none is recorded, and tokens stay.
func TestKeysOfOlder(t *testing.T) {
	b := newBench(t)
	b.members("mx1", "mx2")
	_, err := b.AddToken(ctx, time.Hour, 0)
	must(t, err)
	n := b.node("mx3")
	n.Key = "k3"
	if m, err := b.AddMember(ctx, n); err != nil || m.Key != "" {
		t.Errorf("%+v, %v", m, err)
	}
	must(t, b.Remove(ctx, 2))
	if left := b.State.TokenList(b.now); len(left) != 1 {
		t.Errorf("%d tokens are left", len(left))
	}
}
