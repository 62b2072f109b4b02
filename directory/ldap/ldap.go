// Package ldap is a directory.Source on an LDAP server (RFC 4511): the users below an entry, read
// page by page, and their passwords, checked by binding.
package ldap

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/postroad/postroad/directory"
)

// Options say where the users are. See config.LDAP for what each means.
type Options struct {
	URL              string
	StartTLS         bool
	TLS              *tls.Config // nil: none
	BindDN, Password string      // "": anonymously
	Base, Filter     string
	ID               string // attributes; "": none
	Address          string
	Senders          string
	Forward          string
	Quota            string
	Hash             string
}

// Source is a server. Each call has a connection of its own: a list is asked for every few minutes,
// and a bind changes whose the connection is.
type Source struct{ o Options }

var _ directory.Source = (*Source)(nil)

// New returns a source, or says what is wrong with the filter. It does not connect.
func New(o Options) (*Source, error) {
	if _, err := ldap.CompileFilter(o.Filter); err != nil {
		return nil, fmt.Errorf("LDAP filter %q: %w", o.Filter, err)
	}
	return &Source{o}, nil
}

const (
	dialWait = 5 * time.Second
	callWait = 30 * time.Second // for one answer
	pageSize = 500              // entries
)

// connect returns a connection that is bound as the one who may read. It ends with ctx.
func (s *Source) connect(ctx context.Context) (*ldap.Conn, func(), error) {
	c, err := ldap.DialURL(s.o.URL, ldap.DialWithTLSDialer(s.o.TLS, &net.Dialer{Timeout: dialWait}))
	if err != nil {
		return nil, nil, fmt.Errorf("connecting to the LDAP server: %w", err)
	}
	c.SetTimeout(callWait)
	stop := context.AfterFunc(ctx, func() { c.Close() })
	end := func() { stop(); c.Close() }
	if s.o.StartTLS {
		if err := c.StartTLS(s.o.TLS); err != nil {
			end()
			return nil, nil, fmt.Errorf("TLS with the LDAP server: %w", err)
		}
	}
	if s.o.BindDN != "" {
		if err := c.Bind(s.o.BindDN, s.o.Password); err != nil {
			end()
			return nil, nil, fmt.Errorf("binding as %s: %w", s.o.BindDN, err)
		}
	}
	return c, end, nil
}

// Users reads the list. A search that the server cut short is an error: what it left out would be
// taken for removed.
func (s *Source) Users(ctx context.Context, fn func(*directory.Imported) error) error {
	c, end, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer end()
	paging := ldap.NewControlPaging(pageSize)
	request := ldap.NewSearchRequest(
		s.o.Base,
		ldap.ScopeWholeSubtree,
		ldap.DerefAlways,
		0,
		0,
		false,
		s.o.Filter,
		s.attributes(),
		[]ldap.Control{paging},
	)
	for {
		page, err := c.Search(request)
		if err != nil {
			return fmt.Errorf("reading users from LDAP: %w", err)
		}
		for _, entry := range page.Entries {
			if i := s.user(entry); i != nil {
				if err := fn(i); err != nil {
					return err
				}
			}
		}
		next, ok := ldap.FindControl(page.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if !ok || len(next.Cookie) == 0 {
			return ctx.Err()
		}
		paging.SetCookie(next.Cookie)
	}
}

func (s *Source) attributes() (names []string) {
	for _, name := range []string{
		s.o.ID, s.o.Address, s.o.Senders, s.o.Forward, s.o.Quota, s.o.Hash,
	} {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

// user is the user that an entry describes; nil: it has no address. The values of an attribute are
// a set (RFC 4512 2.3): their order says nothing, but for the name of a user who is new.
func (s *Source) user(e *ldap.Entry) *directory.Imported {
	values := func(attribute string) []string {
		if attribute == "" {
			return nil
		}
		return slices.Sorted(slices.Values(e.GetEqualFoldAttributeValues(attribute)))
	}
	addresses := e.GetEqualFoldAttributeValues(s.o.Address)
	if len(addresses) == 0 {
		return nil
	}
	i := &directory.Imported{Name: addresses[0], Addresses: addresses, Entry: s.entry(e),
		Settings: directory.Settings{
			Senders: values(s.o.Senders), Forward: values(s.o.Forward),
		}}
	i.Settings.Keep = len(i.Settings.Forward) > 0
	for _, q := range values(s.o.Quota) {
		if n, err := strconv.ParseInt(q, 10, 64); err == nil && n >= 0 {
			i.Settings.Hard = max(i.Settings.Hard, n)
		}
	}
	for _, h := range values(s.o.Hash) {
		if stored, keys, err := directory.ParseHash(h); err == nil {
			i.Hash, i.Scram = stored, keys
			break
		}
	}
	return i
}

// maxEntry is how many octets may say which entry a user is.
const maxEntry = 1000

// entry says which entry that is, as a line of LDIF (RFC 2849): by its ID, or where it has none by
// its DN.
func (s *Source) entry(e *ldap.Entry) string {
	line := "dn: " + e.DN
	if s.o.ID != "" {
		if ids := e.GetEqualFoldRawAttributeValues(s.o.ID); len(ids) == 1 && len(ids[0]) > 0 {
			line = strings.ToLower(s.o.ID) + ": " + string(ids[0])
			if !printable(ids[0]) {
				line = strings.ToLower(s.o.ID) + ":: " + base64.StdEncoding.EncodeToString(ids[0])
			}
		}
	}
	if len(line) > maxEntry {
		return ""
	}
	return line
}

func printable(value []byte) bool {
	for _, c := range value {
		if c <= ' ' || c >= 0x7f || c == ':' {
			return false
		}
	}
	return true
}

// find returns the search for the entry of a user.
func (s *Source) find(u *directory.User) *ldap.SearchRequest {
	base, scope, which := s.o.Base, ldap.ScopeWholeSubtree, ""
	attribute, value, _ := strings.Cut(u.Entry, ":")
	switch value, isText := strings.CutPrefix(value, " "); {
	case u.Entry == "":
		which = "(" + s.o.Address + "=" + ldap.EscapeFilter(u.Name) + ")"
	case attribute == "dn":
		base, scope = value, ldap.ScopeBaseObject
	case isText:
		which = "(" + attribute + "=" + ldap.EscapeFilter(value) + ")"
	default:
		raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(value, ": "))
		which = "(" + attribute + "=" + ldap.EscapeFilter(string(raw)) + ")"
	}
	return ldap.NewSearchRequest(base, scope, ldap.DerefAlways, 2, 0, false,
		"(&"+s.o.Filter+which+")", []string{"1.1"}, nil)
}

// Check finds the user's entry and binds as it. The user must be one of the list, and of one entry
// only.
func (s *Source) Check(
	ctx context.Context, u *directory.User, password string,
) (bool, error) {
	if password == "" {
		// the server would take it for an anonymous bind, which succeeds (RFC 4513 5.1.2)
		return false, nil
	}
	c, end, err := s.connect(ctx)
	if err != nil {
		return false, err
	}
	defer end()
	found, err := c.Search(s.find(u))
	switch {
	case ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded):
		return false, nil // more than two
	case ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject):
		return false, nil // the DN
	case err != nil:
		return false, fmt.Errorf("looking for %s in LDAP: %w", u.Name, err)
	case len(found.Entries) != 1:
		return false, nil
	}
	err = c.Bind(found.Entries[0].DN, password)
	switch {
	case err == nil:
		return true, ctx.Err()
	case ldap.IsErrorAnyOf(err,
		ldap.LDAPResultInvalidCredentials,
		ldap.LDAPResultInappropriateAuthentication): // there is no password
		return false, nil
	case ctx.Err() != nil:
		return false, errors.Join(ctx.Err(), err)
	}
	return false, fmt.Errorf("binding as %s: %w", found.Entries[0].DN, err)
}
