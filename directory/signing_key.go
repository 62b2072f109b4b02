package directory

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postroad/postroad/internal/smtp"
)

// MaxKeys bounds the keys of DKIM: two for each of 100,000 domains, and room to change them.
const MaxKeys = 250_000

// Bounds of what one key may hold.
const (
	maxSelector = 63   // octets
	maxSealed   = 4096 // octets
)

// KeyState is a step of a signing key's life.
type KeyState string

const (
	KeyNew      KeyState = "new"      // made; its record is not seen in DNS yet
	KeyActive   KeyState = "active"   // mail is signed with it
	KeyRetiring KeyState = "retiring" // mail signed with it may be on its way still
)

// SigningKey is a private key with which mail of a domain is signed (DKIM). Immutable once it is in
// the view.
type SigningKey struct {
	Name      string `json:"name"`             // KeyName of the domain and the selector
	Tenant    string `json:"tenant,omitempty"` // whose mail is signed; "": that of all tenants
	Algorithm string `json:"algorithm"`        // "rsa" or "ed25519"
	Bits      int    `json:"bits,omitempty"`   // of an RSA key
	// Sealed is the private key, sealed for the members (cluster/secret).
	Sealed []byte   `json:"sealed"`
	State  KeyState `json:"state"`
	// Since is when it came into its state.
	Since   time.Time `json:"since"`
	Created time.Time `json:"created"`
	Version uint64    `json:"version"`
}

func (k *SigningKey) id() string           { return k.Name }
func (k *SigningKey) stamp(version uint64) { k.Version = version }

// KeyName is the name of the key of a domain, in A-labels, and a selector.
func KeyName(domain, selector string) string { return domain + "/" + selector }

// Domain returns the domain for which the key signs.
func (k *SigningKey) Domain() string {
	domain, _, _ := strings.Cut(k.Name, "/")
	return domain
}

// Selector returns the name of the key's record below _domainkey of its domain.
func (k *SigningKey) Selector() string {
	_, selector, _ := strings.Cut(k.Name, "/")
	return selector
}

// SigningKey returns a key by its name, as Get does.
func (d *Directory) SigningKey(name string) (*SigningKey, bool) {
	return get[*SigningKey](d, signingKeys, name)
}

// SigningKeys lists keys as List does users.
func (d *Directory) SigningKeys(after string, limit int) []*SigningKey {
	return list[*SigningKey](d, signingKeys, after, limit)
}

// KeysOf returns the keys of a domain in A-labels, in the order of their names. It takes no lock.
// The slice is read-only.
func (d *Directory) KeysOf(domain string) []*SigningKey { return d.keys.of(domain) }

// HasKeys reports whether there is any key. It takes no lock.
func (d *Directory) HasKeys() bool { return d.keys.any() }

// AddKey adds a key.
func (e *Editor) AddKey(ctx context.Context, k *SigningKey) error {
	k.Created = e.Now().UTC()
	return e.putKey(ctx, cmdAddKey, k)
}

// SetKey changes a key. A state that is another than before begins now.
func (e *Editor) SetKey(ctx context.Context, k *SigningKey) error {
	if known, ok := e.Directory.SigningKey(k.Name); ok && known.State == k.State {
		k.Since = known.Since
	} else {
		k.Since = time.Time{}
	}
	return e.putKey(ctx, cmdPutKey, k)
}

func (e *Editor) putKey(ctx context.Context, kind commandType, k *SigningKey) error {
	if err := k.check(); err != nil {
		return err
	}
	if k.Since.IsZero() {
		k.Since = e.Now().UTC()
	}
	return e.propose(ctx, kind, k)
}

// RemoveKey takes a key out.
func (e *Editor) RemoveKey(ctx context.Context, name string) error {
	return e.propose(ctx, cmdRemoveKey, name)
}

func (k *SigningKey) check() error {
	domain, selector := k.Domain(), k.Selector()
	if d, err := newDomain(domain, ""); err != nil {
		return err
	} else if d.Name != domain {
		return wrongf("%s is written %s here", domain, d.Name)
	}
	// A selector is one label or several (RFC 6376 3.1).
	if s, err := smtp.Domain(selector); err != nil || s != selector || len(s) > maxSelector {
		return wrongf("%q is no selector: use lower-case letters, digits and hyphens, such as "+
			"s202612", selector)
	}
	if len(k.Tenant) > maxTenant {
		return wrongf("a tenant's name has at most %d octets", maxTenant)
	}
	if len(k.Sealed) == 0 || len(k.Sealed) > maxSealed {
		return wrongf("a private key has from 1 to %d octets", maxSealed)
	}
	return nil
}

// domainKeys are the keys of each domain. Read without a lock; changed under the Directory's.
type domainKeys struct {
	view sync.Map // domain -> []*SigningKey, in the order of their names, which nobody changes
}

func (x *domainKeys) of(domain string) []*SigningKey {
	if v, ok := x.view.Load(domain); ok {
		return v.([]*SigningKey)
	}
	return nil
}

func (x *domainKeys) any() (found bool) {
	x.view.Range(func(_, _ any) bool { found = true; return false })
	return found
}

// change takes over what became of the key of a name; nil: there is none any more.
func (x *domainKeys) change(name string, now *SigningKey) {
	domain, _, _ := strings.Cut(name, "/")
	all := slices.DeleteFunc(slices.Clone(x.of(domain)), func(k *SigningKey) bool {
		return k.Name == name
	})
	if now != nil {
		at, _ := slices.BinarySearchFunc(all, name, func(k *SigningKey, name string) int {
			return strings.Compare(k.Name, name)
		})
		all = slices.Insert(all, at, now)
	}
	if len(all) == 0 {
		x.view.Delete(domain)
		return
	}
	x.view.Store(domain, all)
}

// load makes them what the keys in a view are.
func (x *domainKeys) load(view *sync.Map) {
	all := map[string][]*SigningKey{}
	view.Range(func(_, v any) bool {
		k := v.(*SigningKey)
		all[k.Domain()] = append(all[k.Domain()], k)
		return true
	})
	for domain, keys := range all {
		slices.SortFunc(keys, func(a, b *SigningKey) int { return strings.Compare(a.Name, b.Name) })
		x.view.Store(domain, keys)
	}
	x.view.Range(func(domain, _ any) bool {
		if all[domain.(string)] == nil {
			x.view.Delete(domain)
		}
		return true
	})
}

// Resealed returns a command that adds a key (Restore) with the private key as reseal makes it;
// isKey is false for another command, which stays as it is.
func Resealed(
	command []byte, reseal func(name string, sealed []byte) ([]byte, error),
) (with []byte, isKey bool, err error) {
	if len(command) < 2 || commandType(command[1]) != cmdAddKey {
		return command, false, nil
	}
	var k SigningKey
	if err := json.Unmarshal(command[2:], &k); err != nil {
		return nil, true, err
	}
	if k.Sealed, err = reseal(k.Name, k.Sealed); err != nil {
		return nil, true, err
	}
	with, err = encodeCommand(cmdAddKey, &k)
	return with, true, err
}
