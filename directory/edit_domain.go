package directory

import (
	"context"
	"strings"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// separators are the characters that may part a name from a detail.
const separators = "+-=_#."

// AddDomain makes a domain local. separator: see Domain.
func (e *Editor) AddDomain(ctx context.Context, name, separator string) error {
	d, err := newDomain(name, separator)
	if err != nil {
		return err
	}
	d.Created = e.Now().UTC()
	d.Changed = d.Created
	return e.propose(ctx, cmdAddDomain, d)
}

// SetDomain gives a domain another separator.
func (e *Editor) SetDomain(ctx context.Context, name, separator string) error {
	d, err := newDomain(name, separator)
	if err != nil {
		return err
	}
	known, ok := e.Directory.Domain(d.Name)
	if !ok {
		return ErrUnknownDomain
	}
	d.Created, d.Changed = known.Created, e.Now().UTC()
	return e.propose(ctx, cmdPutDomain, d)
}

// CheckDomain says what is wrong with a domain.
func CheckDomain(name, separator string) error {
	_, err := newDomain(name, separator)
	return err
}

func newDomain(name, separator string) (*Domain, error) {
	canonical, err := smtp.Domain(name)
	if err != nil || canonical[0] == '[' {
		return nil, wrongf("%q is not the name of a domain", name)
	}
	if len(separator) > 1 || separator != "" && !strings.Contains(separators, separator) {
		return nil, wrongf(
			"a separator is one of %s, or empty",
			strings.Join(strings.Split(separators, ""), " "),
		)
	}
	return &Domain{Name: canonical, Separator: separator}, nil
}

// RemoveDomain takes a domain out. It is refused while there are mailboxes or aliases in it, unless
// all is set: they would be unreachable.
func (e *Editor) RemoveDomain(ctx context.Context, name string, all bool) error {
	d, err := newDomain(name, "")
	if err != nil {
		return err
	}
	if !all {
		if u := e.Directory.inDomain(d.Name); u != "" {
			return wrongf("there are addresses in %s, such as %s: remove them first", d.Name, u)
		}
	}
	return e.propose(ctx, cmdRemoveDomain, d.Name)
}

// inDomain returns an alias in a domain, or an address of a user with a mailbox; "": there is
// none.
func (d *Directory) inDomain(domain string) (found string) {
	for _, t := range []tableName{users, aliases} {
		d.tables[t].view.Range(func(name, v any) bool {
			all := []string{name.(string)}
			if u, isUser := v.(*User); isUser {
				if u.NoMailbox && len(u.Forward) == 0 {
					return true
				}
				all = append(all, u.Addresses...)
			}
			for _, address := range all {
				if mail.DomainOf(address) == domain {
					found = address
				}
			}
			return found == ""
		})
	}
	return found
}

func (e *Editor) local(domain string) bool {
	if e.Local != nil {
		return e.Local(domain)
	}
	_, ok := e.Directory.Domain(domain)
	return ok
}
