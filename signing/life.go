package signing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/dns"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/mailauth/dkim"
)

// Life is what becomes of keys. A new one signs nothing until its record is seen in DNS. When it
// does, the one before is retiring: nothing is signed with it any more, and its record stays for
// the mail that was. When that mail is delivered, or has expired, the key is taken out, and whoever
// keeps the zone may take out the record.
//
// Safe for use by several goroutines. All fields are required, but Logf.
type Life struct {
	Editor *directory.Editor
	Sealer Sealer
	// Texts asks for the TXT records of a name.
	Texts func(ctx context.Context, name string) dns.Answer
	// Expire is how long a message may be in the queue.
	Expire func() time.Duration
	Now    func() time.Time
	Logf   func(format string, args ...any)
}

// Finding is what DNS says of a key's record.
type Finding string

const (
	Published Finding = "published" // it is there, and is that of the key
	Missing   Finding = "missing"   // there is no record
	Different Finding = "different" // there is another key's, or one that is withdrawn
	Broken    Finding = "broken"    // there is something that is no key record
	Unknown   Finding = "unknown"   // DNS did not say
)

// Request says what key is wanted. The zero value of each field but Domain is its default.
type Request struct {
	Domain    string
	Selector  string // default: the algorithm and the day, such as r20261201
	Tenant    string
	Algorithm string // dkim.KeyRSA or dkim.KeyEd25519; default RSA
	Bits      int    // of an RSA key
	// Private is a key that exists already, in PEM; nil: one is made.
	Private []byte
}

// Generate makes a key, or takes over a given one, and returns it as it is stored.
func (l *Life) Generate(ctx context.Context, r Request) (*directory.SigningKey, error) {
	domain, err := smtp.Domain(r.Domain)
	if err != nil {
		return nil, &directory.Wrong{Why: fmt.Sprintf("%q is not the name of a domain", r.Domain)}
	}
	if r.Private == nil {
		if r.Algorithm == "" {
			r.Algorithm = dkim.KeyRSA
		}
		if r.Private, err = dkim.GenerateKey(algorithmOf(r.Algorithm), r.Bits); err != nil {
			return nil, &directory.Wrong{Why: err.Error()}
		}
	}
	defer clear(r.Private)
	record, err := recordOfPrivate(r.Private)
	if err != nil {
		return nil, &directory.Wrong{Why: err.Error()}
	}
	if r.Selector == "" {
		r.Selector = l.freeSelector(domain, record.Type)
	}
	packed, err := Pack(r.Private)
	if err != nil {
		return nil, &directory.Wrong{Why: err.Error()}
	}
	defer clear(packed)
	k := &directory.SigningKey{Name: directory.KeyName(domain, r.Selector), Tenant: r.Tenant,
		Algorithm: record.Type, Bits: bitsOf(record), State: directory.KeyNew}
	if k.Sealed, err = l.Sealer.Seal(Purpose(k.Name), packed); err != nil {
		return nil, err
	}
	return k, l.Editor.AddKey(ctx, k)
}

// freeSelector returns a name that no key of the domain has.
func (l *Life) freeSelector(domain, kind string) string {
	base := kind[:1] + l.Now().UTC().Format("20060102")
	selector := base
	for i := 2; ; i++ {
		if _, taken := l.Editor.Directory.SigningKey(directory.KeyName(domain, selector)); !taken {
			return selector
		}
		selector = fmt.Sprintf("%s-%d", base, i)
	}
}

// Record returns the record of a key and the name at which it belongs, without a final dot.
func (l *Life) Record(k *directory.SigningKey) (name string, r dkim.Record, err error) {
	key, err := Private(k, l.Sealer.Open)
	if err != nil {
		return "", r, err
	}
	defer key.Close()
	r, err = dkim.RecordOf(key.Public())
	return dkim.RecordName(k.Selector(), k.Domain()), r, err
}

// Check asks DNS for a key's record. why says in words what is wrong; "": nothing is.
func (l *Life) Check(ctx context.Context, k *directory.SigningKey) (is Finding, why string) {
	name, want, err := l.Record(k)
	if err != nil {
		return Unknown, err.Error()
	}
	a := l.Texts(ctx, name)
	switch a.Outcome {
	case dns.Failed:
		return Unknown, "DNS does not say what is at " + name
	case dns.NoData, dns.NoName:
		return Missing, "there is no TXT record at " + name
	}
	is, why = Broken, "what is at "+name+" is no record of a key"
	records := 0
	for _, text := range a.Texts {
		if !strings.Contains(text, "p=") {
			continue // of another kind
		}
		records++
		r, err := dkim.ParseRecord(text)
		switch {
		case err != nil:
			is, why = Broken, fmt.Sprintf("the record at %s cannot be read: %v", name, err)
		case r.Revoked():
			is, why = Different, "the record at "+name+" withdraws the key (its p= is empty)"
		case !r.IsOf(want.Key):
			is, why = Different, "the record at "+name+" is that of another key"
		default:
			is, why = Published, ""
		}
	}
	if records > 1 { // who verifies may take any of them (RFC 6376 3.6.2.2)
		return Different, fmt.Sprintf("there are %d key records at %s: one must be there", records,
			name)
	}
	return is, why
}

// Activate has mail signed with a key from now on, and ends that with the older ones of its domain,
// tenant and algorithm. It does not look at DNS.
func (l *Life) Activate(ctx context.Context, k *directory.SigningKey) error {
	active := *k
	active.State = directory.KeyActive
	if err := l.Editor.SetKey(ctx, &active); err != nil {
		return err
	}
	return l.retireOthers(ctx, &active)
}

// retireOthers ends the keys that an active one stands in for.
func (l *Life) retireOthers(ctx context.Context, k *directory.SigningKey) error {
	for _, other := range l.Editor.Directory.KeysOf(k.Domain()) {
		if other.Name != k.Name && other.State == directory.KeyActive &&
			other.Algorithm == k.Algorithm && other.Tenant == k.Tenant &&
			!other.Since.After(k.Since) {
			old := *other
			old.State = directory.KeyRetiring
			if err := l.Editor.SetKey(ctx, &old); err != nil {
				return err
			}
		}
	}
	return nil
}

// ErrLastKey says that a domain would have no key left to sign with.
var ErrLastKey = errors.New("mail of the domain is signed with this key and no other")

// Retire ends a key: one that mail is signed with is retiring from now on; another is taken out.
// With force that is done at once, whatever becomes of the mail that it signed.
func (l *Life) Retire(ctx context.Context, name string, force bool) (gone bool, err error) {
	k, ok := l.Editor.Directory.SigningKey(name)
	if !ok {
		return false, directory.ErrUnknownKey
	}
	if k.State != directory.KeyActive || force {
		if k.State == directory.KeyRetiring && !force && !l.over(k) {
			return false, &directory.Wrong{Why: fmt.Sprintf("mail that was signed with it may be "+
				"on its way until %s; --force takes it out now",
				k.Since.Add(l.Expire()).Format(time.RFC3339))}
		}
		return true, l.Editor.RemoveKey(ctx, name)
	}
	if !slices.ContainsFunc(l.Editor.Directory.KeysOf(k.Domain()),
		func(o *directory.SigningKey) bool {
			return o.Name != name && o.State == directory.KeyActive && o.Tenant == k.Tenant
		}) {
		return false, ErrLastKey
	}
	old := *k
	old.State = directory.KeyRetiring
	return false, l.Editor.SetKey(ctx, &old)
}

// over reports whether no mail can be on its way any more that was signed with a retiring key.
func (l *Life) over(k *directory.SigningKey) bool {
	return l.Now().Sub(k.Since) > l.Expire()
}

// advanceStep is how many records are asked for in one round.
const advanceStep = 50

// Advance takes keys on: new ones whose records are seen become active, and retiring ones are taken
// out when their time is over. It looks at some keys and returns after which one to go on; "": all
// were seen. One member calls it, in turns.
func (l *Life) Advance(ctx context.Context, after string) (next string, err error) {
	page := l.Editor.Directory.SigningKeys(after, advanceStep)
	for _, k := range page {
		switch k.State {
		case directory.KeyNew:
			if is, _ := l.Check(ctx, k); is != Published {
				continue
			}
			if err := l.Activate(ctx, k); err != nil {
				return after, err
			}
			l.Logf("the record of the key %s is in DNS: mail is signed with it from now on", k.Name)
		case directory.KeyActive: // what a crash left between two commands
			if err := l.retireOthers(ctx, k); err != nil {
				return after, err
			}
		case directory.KeyRetiring:
			if !l.over(k) {
				continue
			}
			if err := l.Editor.RemoveKey(ctx, k.Name); err != nil {
				return after, err
			}
			l.Logf("the key %s is gone: its record at %s can be taken out of DNS", k.Name,
				dkim.RecordName(k.Selector(), k.Domain()))
		}
	}
	if len(page) < advanceStep {
		return "", nil
	}
	return page[len(page)-1].Name, nil
}

// List lists keys, as directory.Directory.SigningKeys.
func (l *Life) List(after string, limit int) []*directory.SigningKey {
	return l.Editor.Directory.SigningKeys(after, limit)
}

// Of returns the keys of a domain in A-labels.
func (l *Life) Of(domain string) []*directory.SigningKey {
	return l.Editor.Directory.KeysOf(domain)
}

// Rotate makes a successor for each key that mail of a domain is signed with, unless there is one
// already, and returns the successors. Nothing else changes until their records are in DNS.
func (l *Life) Rotate(
	ctx context.Context, domain string,
) (next []*directory.SigningKey, err error) {
	domain, err = smtp.Domain(domain)
	if err != nil {
		return nil, &directory.Wrong{Why: "the name of a domain is needed"}
	}
	keys := l.Of(domain)
	for _, k := range keys {
		if k.State != directory.KeyActive {
			continue
		}
		waits := slices.IndexFunc(keys, func(o *directory.SigningKey) bool {
			return o.State == directory.KeyNew && o.Algorithm == k.Algorithm && o.Tenant == k.Tenant
		})
		if waits >= 0 {
			next = append(next, keys[waits])
			continue
		}
		made, err := l.Generate(ctx, Request{Domain: domain, Tenant: k.Tenant,
			Algorithm: k.Algorithm, Bits: k.Bits})
		if err != nil {
			return next, err
		}
		next = append(next, made)
	}
	if len(next) == 0 {
		return nil, directory.ErrUnknownKey
	}
	return next, nil
}
