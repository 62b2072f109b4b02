package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/directory/ldap"
	"github.com/postroad/postroad/internal/config"
)

// ldapSource is the name of the users that come from the list of the [ldap] section.
const ldapSource = "ldap"

// outsideList is an outside list of users. Nobody changes one.
type outsideList struct {
	source   directory.Source // nil: there is none
	interval time.Duration    // between two looks
}

// outsideOf makes the outside list of users that the configuration names.
func outsideOf(c config.LDAP) (*outsideList, error) {
	list := &outsideList{interval: time.Duration(c.Interval)}
	if c.URL == "" {
		return list, nil
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	o := ldap.Options{URL: c.URL, StartTLS: c.StartTLS, TLS: &tls.Config{ServerName: u.Hostname()},
		BindDN: c.BindDN, Base: c.Base, Filter: c.Filter, ID: c.ID,
		Address: c.Address, Senders: c.Senders, Forward: c.Forward, Quota: c.Quota, Hash: c.Hash}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ldap.ca_file: %w", err)
		}
		o.TLS.RootCAs = x509.NewCertPool()
		if !o.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("ldap.ca_file: there is no certificate in it")
		}
	}
	if c.PasswordFile != "" {
		if o.Password, err = config.ReadSecret(c.PasswordFile); err != nil {
			return nil, fmt.Errorf("ldap.password_file: %w", err)
		}
	}
	if list.source, err = ldap.New(o); err != nil {
		return nil, err
	}
	return list, nil
}

// checkOutside checks a password where the user comes from.
func (n *node) checkOutside(ctx context.Context, u *directory.User, password string) (bool, error) {
	source := n.outside.Load().source
	if source == nil || u.Source != ldapSource {
		return false,
			fmt.Errorf(
				"user %s comes from the list %q, which this node's configuration does not have",
				u.Name, u.Source)
	}
	ok, err := source.Check(ctx, u, password)
	if err != nil {
		n.log.Errorf("the password of user %s cannot be checked: %v", u.Name, err)
	}
	return ok, err
}

// followSource looks at the outside list now and then, and at once when it is another one, on the
// node that leads the control group.
func (n *node) followSource(ctx context.Context) {
	for {
		list := n.outside.Load()
		var due <-chan time.Time // never, without a list
		if list.source != nil {
			due = time.After(list.interval)
			if n.store.Group(cluster.ControlGroup).Leading() != 0 {
				if _, err := n.syncSource(ctx, false); err != nil && ctx.Err() == nil {
					n.log.Errorf("the users of the list %q stay as they are: %v", ldapSource, err)
				}
			}
		}
		select {
		case <-due:
		case <-n.relook:
		case <-ctx.Done():
			return
		}
	}
}

// syncTime bounds one look at the list.
const syncTime = 10 * time.Minute

// syncSource makes the directory follow the list.
func (n *node) syncSource(ctx context.Context, force bool) (did directory.Synced, err error) {
	source := n.outside.Load().source
	if source == nil {
		return did, &directory.Wrong{Why: "the configuration of this node has no outside list " +
			"of users"}
	}
	ctx, cancel := context.WithTimeout(ctx, syncTime)
	defer cancel()
	did, err = n.editor.Sync(ctx, ldapSource, source, force)
	if err == nil && (did.Changed > 0 || did.Removed > 0) {
		n.log.Logf(
			"the list %q has %d users: %d added or changed, %d removed, %d kept as our own, %d "+
				"refused", ldapSource, did.Users, did.Changed, did.Removed, did.Kept, did.Refused)
	}
	if did.First != nil {
		n.log.Errorf("the list %q has entries that cannot be taken as they are, such as %v",
			ldapSource, did.First)
	}
	return did, err
}
