package policy

import (
	"strings"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/mail"
)

// A domain's signature says that the domain answers for a message. So it is given to an
// authenticated user who may send as the author, and to the tenant of a trusted network, which the
// listener names, for keys of that tenant. What strangers send is never signed, whatever it says,
// nor what comes by LMTP, of which nobody knows who sent it.

// MaySign implements signing.Book.
func (p *Policy) MaySign(o *mail.Origin, author string) bool {
	if o.User == "" {
		return p.HasRight(o)
	}
	u, ok := p.Get(o.User)
	if !ok || u.Disabled {
		return false
	}
	canonical, err := directory.Canonical(author)
	return err == nil && directory.MaySend(p, u, canonical)
}

// SignsFor implements signing.Book. A key without a tenant is for all users, and for no network.
func (p *Policy) SignsFor(o *mail.Origin, tenant string) bool {
	return tenant == o.Tenant || tenant == "" && o.User != ""
}

// HasRight reports whether mail of that origin may get a signature at all.
func (p *Policy) HasRight(o *mail.Origin) bool {
	if o.User != "" {
		return true
	}
	return o.Tenant != "" && p.rules.Load().trusts(o.Client.Addr()) &&
		!strings.Contains(o.Protocol, "LMTP")
}
