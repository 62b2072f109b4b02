package directory

import (
	"errors"
	"slices"
	"strings"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// Book is what Resolve reads: a Directory, and which domains are local besides its own.
type Book interface {
	Local(domain string) bool // a routing domain, in A-labels
	Domain(name string) (*Domain, bool)
	Get(name string) (*User, bool)
	Alias(name string) (*Alias, bool)
	// Address returns the user who has an address besides the own name.
	Address(name string) (*User, bool)
}

// Bounds of a resolution.
const (
	maxDepth = 20     // aliases, lists and forwards on the way to one address
	maxSteps = 20_000 // addresses looked at
)

// Copy is one message of a resolution: the same content for some addresses, by one way.
type Copy struct {
	// the list that sends it, whose owner is the reverse-path; nil: the sender of the original does
	List *Alias
	// Through are the users who forward it, in their order. Each gets a Delivered-To line, by which
	// a message that comes back is found.
	Through []string
	To      []Target
}

// Target is one recipient of a copy.
type Target struct {
	Address string // canonical when it has a mailbox here
	Domain  string // its routing domain
	Mailbox bool   // it has a mailbox here
	Of      int    // which of the addresses that were resolved led to it first
}

// The ways in which an address can lead to nobody.
var (
	ErrNobody = errors.New("there is no such address")
	ErrLoop   = errors.New("its aliases and forwards lead back to themselves")
)

// Resolution is where mail goes.
type Resolution struct {
	Copies []*Copy // none is empty; the first is the original, if that goes to anybody
	// Errs say which of the addresses lead to nobody, and why; those beyond its end, and nil, do
	// not. They are targets of the original as they are, so that nothing is lost silently.
	Errs []error
	// TooFar: there are more addresses, or a longer way to one, than a resolution looks at. It is
	// not complete, and no mail may go by it.
	TooFar bool
}

// Resolve says what becomes of mail for some addresses, from what a Book knows: aliases, lists,
// users, details after a separator, and at last the catch-all of the domain. What is not local
// stays as it is. Each address gets one copy by each way, however often it is named. A target of an
// alias that leads to nobody stays a target, if the alias leads to anybody else: whoever sent the
// copy will hear of it.
func Resolve(b Book, addresses []string) Resolution {
	r := resolver{book: b, left: maxSteps}
	for i, address := range addresses {
		err := r.from(i, address)
		if err == ErrLoop { // or it leads only to what another one has led to already
			_, err = Accepts(b, address)
		}
		if err != nil {
			r.errs = append(r.errs, make([]error, i+1-len(r.errs))...)
			r.errs[i] = err
			r.deliver(r.way(nil, nil), address, false)
		}
	}
	return r.result()
}

// acceptSteps is how many addresses Accepts looks at.
const acceptSteps = 64

// Accepts says whether mail for a local address leads anywhere: nil, ErrNobody or ErrLoop. It looks
// at a few addresses and takes the rest on trust, so that asking about a list costs little. box is
// the address of the mailbox when that is all it leads to.
func Accepts(b Book, address string) (box string, err error) {
	if name, ok := Direct(b, address); ok {
		return name, nil
	}
	r := resolver{book: b, left: acceptSteps}
	if err = r.from(0, address); err != nil && !r.tooFar {
		return "", err
	}
	res := r.result()
	if !r.tooFar && len(res.Copies) == 1 && len(res.Copies[0].To) == 1 &&
		res.Copies[0].To[0].Mailbox {
		return res.Copies[0].To[0].Address, nil
	}
	return "", nil
}

// Direct reports whether an address is that of a user whose mail goes to the mailbox and nowhere
// else, and returns its canonical form. It is the common case, and cheap.
func Direct(b Book, address string) (name string, ok bool) {
	name, err := Canonical(address)
	if err != nil {
		return "", false
	}
	u, ok := b.Get(name)
	if !ok || u.NoMailbox || len(u.Forward) > 0 {
		return "", false
	}
	_, ok = b.Alias(name)
	return name, !ok && b.Local(mail.DomainOf(name))
}

// resolver is one resolution under way.
type resolver struct {
	book   Book
	left   int // steps
	tooFar bool
	of     int // the address that is resolved
	copies []*way
	ways   map[string]*way
	errs   []error
}

// way is a copy and what has been seen on the way to it.
type way struct {
	Copy
	seen map[string]outcome
}

// outcome is what an address has led to.
type outcome uint8

const (
	nobody  outcome = iota
	looking         // it is being resolved further up: a loop
	somebody
)

// from resolves one of the addresses, or says why it leads to nobody.
func (r *resolver) from(number int, address string) error {
	r.of = number
	switch r.address(r.way(nil, nil), address, 0) {
	case nobody:
		return ErrNobody
	case looking:
		return ErrLoop
	}
	return nil
}

func (r *resolver) result() Resolution {
	res := Resolution{Errs: r.errs, TooFar: r.tooFar}
	for _, w := range r.copies {
		if len(w.To) > 0 {
			res.Copies = append(res.Copies, &w.Copy)
		}
	}
	return res
}

// way returns the copy of a list (nil: none) through some users.
func (r *resolver) way(list *Alias, through []string) *way {
	key := strings.Join(through, "\x00")
	if list != nil {
		key += "\x01" + list.Name
	}
	w, ok := r.ways[key]
	if !ok {
		w = &way{Copy: Copy{List: list, Through: through}, seen: map[string]outcome{}}
		if r.ways == nil {
			r.ways = map[string]*way{}
		}
		r.ways[key] = w
		r.copies = append(r.copies, w)
	}
	return w
}

// address resolves one address on a way.
func (r *resolver) address(w *way, address string, depth int) outcome {
	if r.left--; r.left < 0 || depth > maxDepth {
		r.tooFar = true
		return looking
	}
	domain, err := smtp.Domain(mail.DomainOf(address))
	if err != nil {
		return nobody
	}
	if !r.book.Local(domain) {
		return r.once(w, address, func() outcome { return r.deliver(w, address, false) })
	}
	name, err := Canonical(address)
	if err != nil { // nobody here has such a name
		return r.once(w, address, func() outcome { return r.catchAll(w, address, domain, depth) })
	}
	return r.once(w, name, func() outcome {
		if got, known := r.named(w, name, domain, depth); known {
			return got
		}
		return r.catchAll(w, address, domain, depth)
	})
}

// once resolves an address the first time that it comes up on a way, and finds loops.
func (r *resolver) once(w *way, address string, resolve func() outcome) outcome {
	if got, seen := w.seen[address]; seen {
		return got
	}
	w.seen[address] = looking
	got := resolve()
	w.seen[address] = got
	return got
}

// named resolves a canonical local address that is somebody's, as it is or without its detail.
func (r *resolver) named(w *way, name, domain string, depth int) (got outcome, known bool) {
	if got, known = r.exact(w, name, depth); known {
		return got, true
	}
	if base, ok := withoutDetail(r.book, name, domain); ok {
		return r.exact(w, base, depth)
	}
	return nobody, false
}

// catchAll resolves an address that nobody in its domain has.
func (r *resolver) catchAll(w *way, address, domain string, depth int) outcome {
	if a, ok := r.book.Alias("@" + domain); ok {
		return r.alias(w, a, address, depth)
	}
	return nobody
}

// exact resolves a name that is an alias's or a user's, or else a user's further address.
func (r *resolver) exact(w *way, name string, depth int) (got outcome, known bool) {
	if a, ok := r.book.Alias(name); ok {
		return r.alias(w, a, name, depth), true
	}
	if u, ok := r.book.Get(name); ok && (!u.NoMailbox || len(u.Forward) > 0) {
		return r.user(w, u, depth), true
	}
	if u, ok := r.book.Address(name); ok && (!u.NoMailbox || len(u.Forward) > 0) {
		return r.user(w, u, depth), true
	}
	return nobody, false
}

// MaySend reports whether a user may use sender, in canonical form, as the reverse-path: an address
// that is the user's (User.MaySend), or one of those with a detail that is nobody else's.
func MaySend(b Book, u *User, sender string) bool {
	if u.MaySend(sender) {
		return true
	}
	domain := mail.DomainOf(sender)
	base, ok := withoutDetail(b, sender, domain)
	if !ok || !b.Local(domain) || !u.MaySend(base) {
		return false
	}
	_, user := b.Get(sender)
	_, alias := b.Alias(sender)
	_, other := b.Address(sender)
	return !user && !alias && !other
}

// withoutDetail cuts a detail off: alice+news@example.net is alice@example.net.
func withoutDetail(b Book, name, domain string) (base string, ok bool) {
	separator := DefaultSeparator
	if d, ok := b.Domain(domain); ok {
		separator = d.Separator
	}
	if separator == "" {
		return "", false
	}
	at := strings.LastIndexByte(name, '@')
	if i := strings.Index(name[:at], separator); i > 0 {
		return name[:i] + name[at:], true
	}
	return "", false
}

func (r *resolver) alias(w *way, a *Alias, address string, depth int) outcome {
	if a.Owner != "" {
		if w.List != nil && w.List.Name == a.Name {
			return looking
		}
		w = r.way(a, w.Through)
	}
	return r.all(w, a.targetsFor(address), depth)
}

// all resolves several addresses: one of them is enough. The others, if they lead nowhere, are told
// to whoever sent the copy.
func (r *resolver) all(w *way, addresses []string, depth int) outcome {
	best, lost := nobody, []string(nil)
	for _, address := range addresses {
		got := r.address(w, address, depth+1)
		best = max(best, got)
		if got == nobody {
			lost = append(lost, address)
		}
	}
	if best == somebody {
		for _, address := range lost {
			r.once(w, "lost "+address, func() outcome { return r.deliver(w, address, false) })
		}
	}
	return best
}

// user delivers to a user's mailbox, or sends the mail on, or both.
func (r *resolver) user(w *way, u *User, depth int) outcome {
	if last := len(w.Through) - 1; last >= 0 && w.Through[last] == u.Name && !u.NoMailbox {
		// A user who forwards to the own address wants a copy: an address that yields itself is
		// final, as in Postfix's virtual(5).
		return r.keep(r.way(w.List, w.Through[:last]), u)
	}
	if slices.Contains(w.Through, u.Name) {
		return looking // it has been here
	}
	got := nobody
	if !u.NoMailbox && (u.Keep || len(u.Forward) == 0) {
		got = r.keep(w, u)
	}
	if len(u.Forward) == 0 {
		return got
	}
	on := r.way(w.List, append(slices.Clone(w.Through), u.Name))
	return max(got, r.all(on, u.Forward, depth))
}

// keep delivers to a user's mailbox, once on a way.
func (r *resolver) keep(w *way, u *User) outcome {
	return r.once(w, "kept "+u.Name, func() outcome { return r.deliver(w, u.Name, true) })
}

// deliver makes an address a recipient of a copy.
func (r *resolver) deliver(w *way, address string, mailbox bool) outcome {
	domain, err := smtp.Domain(mail.DomainOf(address))
	if err != nil {
		return nobody
	}
	w.To = append(w.To, Target{Address: address, Domain: domain, Mailbox: mailbox, Of: r.of})
	return somebody
}
