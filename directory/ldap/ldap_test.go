package ldap

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/postroad/postroad/directory"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
	rowstest "github.com/postroad/postroad/internal/testkit/rows"
)

const ldif = `dn: ou=people,dc=example,dc=net
objectClass: organizationalUnit
ou: people

dn: cn=Alice,ou=people,dc=example,dc=net
objectClass: inetOrgPerson
cn: Alice
sn: A
mail: Alice@Example.net
mail: alice.a@example.net
carLicense: 1000000
userPassword: secret of alice

dn: cn=Bob,ou=people,dc=example,dc=net
objectClass: inetOrgPerson
cn: Bob
sn: B
mail: bob@example.net
description: bob@example.org
userPassword: {CRYPT}$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1

dn: cn=Printer,ou=people,dc=example,dc=net
objectClass: inetOrgPerson
cn: Printer
sn: P

dn: cn=Twin,ou=people,dc=example,dc=net
objectClass: inetOrgPerson
cn: Twin
sn: T
mail: twin@example.net
userPassword: one

dn: cn=Twin 2,ou=people,dc=example,dc=net
objectClass: inetOrgPerson
cn: Twin 2
sn: T
mail: twin@example.net
userPassword: two

`

func startSlapd(t *testing.T, more string) *mailtest.Slapd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := mailtest.StartSlapd(ctx, t.TempDir(), ldif+more)
	switch {
	case errors.Is(err, exec.ErrNotFound) && os.Getenv("POSTROAD_E2E") != "require":
		t.Skip("slapd is not installed: apt-get install slapd")
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop() })
	return s
}

func options(s *mailtest.Slapd) Options {
	return Options{
		URL:      s.URL,
		BindDN:   mailtest.SlapdManager,
		Password: mailtest.SlapdPassword,
		Base:     "ou=people,dc=example,dc=net",
		Filter:   "(objectClass=inetOrgPerson)",
		ID:       "entryUUID",
		Address:  "mail",
		Forward:  "description",
		Quota:    "carlicense",
	}
}

func source(t *testing.T, o Options) *Source {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func users(t *testing.T, s *Source) (all map[string]directory.Imported, err error) {
	t.Helper()
	all = map[string]directory.Imported{}
	err = s.Users(t.Context(), func(i *directory.Imported) error { all[i.Name] = *i; return nil })
	return all, err
}

func TestOpenLDAP(t *testing.T) {
	slapd := startSlapd(t, "")
	s := source(t, options(slapd))
	got, err := users(t, s)
	entries := map[string]string{}
	for name, i := range got {
		attribute, id, _ := strings.Cut(i.Entry, ": ")
		if attribute != "entryuuid" || len(id) != 36 {
			t.Errorf("%s is the entry %q", name, i.Entry)
		}
		entries[strings.ToLower(name)] = i.Entry
		i.Entry = ""
		got[name] = i
	}
	want := map[string]directory.Imported{
		"Alice@Example.net": {
			Name:      "Alice@Example.net",
			Addresses: []string{"Alice@Example.net", "alice.a@example.net"},
			Settings:  directory.Settings{Hard: 1000000},
		},
		"bob@example.net": {
			Name:      "bob@example.net",
			Addresses: []string{"bob@example.net"},
			Settings: directory.Settings{
				Forward: []string{"bob@example.org"},
				Keep:    true,
			},
		},
		"twin@example.net": {
			Name:      "twin@example.net",
			Addresses: []string{"twin@example.net"},
		},
	}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the list: %v\n got %+v\nwant %+v", err, got, want)
	}
	for _, c := range []struct {
		entry, password string
		want            bool
	}{
		{entries["alice@example.net"], "secret of alice", true},
		{entries["alice@example.net"], "other", false},
		{entries["bob@example.net"], "secret of alice", false},
		{entries["twin@example.net"], "two", true}, // the one that came last
		{entries["twin@example.net"], "one", false},
		{"dn: cn=Alice,ou=people,dc=example,dc=net", "secret of alice", true},
		{"dn: cn=Nobody,ou=people,dc=example,dc=net", "secret of alice", false},
		{"dn: cn=manager,dc=example,dc=net", mailtest.SlapdPassword, false},
		{"entryuuid: *", "secret of alice", false},
		{"cn:: " + base64.StdEncoding.EncodeToString([]byte("Alice")), "secret of alice", true},
		{"cn: Alice)(cn=*", "secret of alice", false},
	} {
		u := &directory.User{Name: "bob@example.net", Entry: c.entry}
		if ok, err := s.Check(t.Context(), u, c.password); ok != c.want || err != nil {
			t.Errorf("%s with %q: %v, %v", c.entry, c.password, ok, err)
		}
	}
	for _, c := range []struct {
		name, password string
		want           bool
	}{
		{"alice@example.net", "secret of alice", true}, {"alice.a@example.net", "secret of alice",
			true}, {"alice@example.net", "other", false},
		{"alice@example.net", "", false}, {"bob@example.net", "Hello world!", true},
		{"nobody@example.net", "x", false}, {"*", "secret of alice", false},
		{"alice@example.net)(mail=*", "secret of alice", false}, {"twin@example.net", "one", false},
	} {
		u := &directory.User{Name: c.name}
		if ok, err := s.Check(t.Context(), u, c.password); ok != c.want || err != nil {
			t.Errorf("%s with %q: %v, %v", c.name, c.password, ok, err)
		}
	}

	o := options(slapd)
	o.Hash = "userPassword"
	got, err = users(t, source(t, o))
	if err != nil || !strings.HasPrefix(got["bob@example.net"].Hash, "$6$") ||
		got["Alice@Example.net"].Hash != "" {
		t.Errorf("with hashes: %+v, %v", got, err)
	}
	o.Password = "wrong"
	if _, err := users(t, source(t, o)); err == nil {
		t.Error("a list with the wrong password")
	}
	if _, err := source(t, o).Check(t.Context(), &directory.User{Name: "alice@example.net"},
		"secret of alice"); err == nil {
		t.Error("a check with the wrong password of the reader says what nobody knows")
	}
	o.Filter = "(objectClass="
	if _, err := New(o); err == nil {
		t.Error("half a filter")
	}
	slapd.Stop()
	if _, err := users(t, s); err == nil {
		t.Error("a list of a server that is away")
	}
	if _, err := s.Check(t.Context(), &directory.User{Name: "alice@example.net"},
		"secret of alice"); err == nil {
		t.Error("a check at a server that is away")
	}
}

// A long list comes page by page; one that the server cuts short is an error.
func TestLongList(t *testing.T) {
	var more strings.Builder
	for i := range 1300 {
		fmt.Fprintf(
			&more,
			"dn: cn=u%d,ou=people,dc=example,dc=net\nobjectClass: inetOrgPerson\ncn: u%d\nsn: "+
				"u\nmail: u%d@example.net\n\n",
			i,
			i,
			i,
		)
	}
	slapd := startSlapd(t, more.String())
	if got, err := users(t, source(t, options(slapd))); len(got) != 1303 || err != nil {
		t.Errorf("%d users, %v", len(got), err)
	}
	o := options(slapd)
	o.BindDN = ""
	if got, err := users(t, source(t, o)); !ldap.IsErrorAnyOf(
		err,
		ldap.LDAPResultSizeLimitExceeded,
	) &&
		err == nil {
		t.Errorf("cut short at %d users without an error", len(got))
	}
}

// The directory follows the list.
func TestSync(t *testing.T) {
	slapd := startSlapd(t, "")
	s := source(t, options(slapd))
	d := directory.New()
	store := rowstest.New(d)
	if err := d.Load(store); err != nil {
		t.Fatal(err)
	}
	e := &directory.Editor{
		Directory: d,
		Proposer:  store,
		Now:       time.Now,
		Cost:      directory.Cost{MemoryKiB: 8, Passes: 1, Lanes: 1},
	}
	if err := e.Add(t.Context(), "bob@example.net", "of our own",
		directory.Settings{}); err != nil {
		t.Fatal(err)
	}
	did, err := e.Sync(t.Context(), "ldap", s, false)
	told := did.First
	did.First = nil
	if err != nil || did != (directory.Synced{Users: 4, Changed: 2, Kept: 1, Refused: 1}) ||
		told == nil || !strings.Contains(told.Error(), "twin@") {
		t.Fatalf("%+v, %v, told of %v", did, err, told)
	}
	if u, ok := d.Get("alice@example.net"); !ok || u.Source != "ldap" || u.Hard != 1000000 ||
		u.Hash != "" {
		t.Errorf("alice is %+v", u)
	}
	before := len(store.Log)
	if did, err := e.Sync(t.Context(), "ldap", s, false); err != nil || did.Changed != 0 ||
		len(store.Log) != before {
		t.Errorf("again: %+v, %v, %d commands", did, err, len(store.Log)-before)
	}
	c, err := ldap.DialURL(slapd.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Bind(mailtest.SlapdManager, mailtest.SlapdPassword); err != nil {
		t.Fatal(err)
	}
	change := ldap.NewModifyRequest("cn=Alice,ou=people,dc=example,dc=net", nil)
	change.Replace("carLicense", []string{"5"})
	if err := errors.Join(c.Modify(change),
		c.Del(ldap.NewDelRequest("cn=Twin,ou=people,dc=example,dc=net", nil)),
		c.Del(ldap.NewDelRequest("cn=Twin 2,ou=people,dc=example,dc=net", nil))); err != nil {
		t.Fatal(err)
	}
	if did, err := e.Sync(t.Context(), "ldap", s, false); err != nil || did.Changed != 1 ||
		did.Removed != 1 {
		t.Errorf("after changes: %+v, %v", did, err)
	}
	if u, _ := d.Get("alice@example.net"); u.Hard != 5 {
		t.Errorf("alice is %+v", u)
	}
	if _, ok := d.Get("twin@example.net"); ok {
		t.Error("the twins are still there")
	}
	// The values come in another order, and then without the one that names the mailbox.
	for _, mail := range [][]string{{"alice.a@example.net", "alice@example.net"},
		{"alice.a@example.net", "alice.b@example.net"}} {
		change = ldap.NewModifyRequest("cn=Alice,ou=people,dc=example,dc=net", nil)
		change.Replace("mail", mail)
		if err := c.Modify(change); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Sync(t.Context(), "ldap", s, false); err != nil {
			t.Fatal(err)
		}
		u, ok := d.Get("alice@example.net")
		other, gets := d.Address("alice.a@example.net")
		if !ok || !gets || other != u {
			t.Fatalf("with %v: alice is %+v, alice.a@ is %+v", mail, u, other)
		}
		if ok, err := s.Check(t.Context(), u, "secret of alice"); !ok || err != nil {
			t.Errorf("with %v: log-in %v, %v", mail, ok, err)
		}
	}
	slapd.Stop()
	if _, err := e.Sync(t.Context(), "ldap", s, false); err == nil {
		t.Error("a list that is away")
	}
	if n := len(d.List("", 0)); n != 2 {
		t.Errorf("%d users after it", n)
	}
}
