package mail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/postroad/postroad/internal/testkit/confine"
)

// Slapd is OpenLDAP's server with one small database, dc=example,dc=net, whose manager is
// SlapdManager.
type Slapd struct {
	URL           string
	program, conf string
	cmd           *exec.Cmd
	out           bytes.Buffer
}

// SlapdManager may read and write everything, with SlapdPassword.
const (
	SlapdManager  = "cn=manager,dc=example,dc=net"
	SlapdPassword = "of the manager"
)

// slapdConf takes the directory. Nobody but the manager sees more than 600 entries of a search.
const slapdConf = `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile %[1]s/pid
sizelimit 600
database mdb
suffix dc=example,dc=net
rootdn ` + SlapdManager + `
rootpw "` + SlapdPassword + `"
directory %[1]s/db
index mail eq
`

const slapdRoot = "dn: dc=example,dc=net\nobjectClass: dcObject\nobjectClass: organization\ndc: " +
	"example\no: example\n\n"

// StartSlapd starts a server on a free port of loopback with the entries of an LDIF file. It fails
// with exec.ErrNotFound when there is no slapd.
func StartSlapd(ctx context.Context, dir, ldif string) (*Slapd, error) {
	const sbin = "/usr/sbin/slapd" // which is not on everybody's PATH
	program, err := exec.LookPath("slapd")
	if _, failed := os.Stat(sbin); err != nil && failed == nil {
		program, err = sbin, nil
	}
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "slapd.conf")
	if err := os.WriteFile(conf, []byte(fmt.Sprintf(slapdConf, dir)), 0o600); err != nil {
		return nil, err
	}
	addr, err := FreeAddr("127.0.0.1")
	if err != nil {
		return nil, err
	}
	s := &Slapd{URL: "ldap://" + addr, program: program, conf: conf}
	if err := s.load(ctx, ldif); err != nil {
		return nil, err
	}
	return s, s.start(ctx)
}

// Replace stops the server, has it hold other entries, and starts it again.
func (s *Slapd) Replace(ctx context.Context, ldif string) error {
	if err := errors.Join(s.Stop(), s.load(ctx, ldif)); err != nil {
		return err
	}
	return s.start(ctx)
}

// load makes a database of entries. Those that have no entryUUID get one.
func (s *Slapd) load(ctx context.Context, ldif string) error {
	dir := filepath.Dir(s.conf)
	db, entries := filepath.Join(dir, "db"), filepath.Join(dir, "entries.ldif")
	if err := errors.Join(os.RemoveAll(db), os.Mkdir(db, 0o700),
		os.WriteFile(entries, []byte(slapdRoot+ldif), 0o600)); err != nil {
		return err
	}
	// slapadd
	load := exec.CommandContext(ctx, s.program, "-T", "add", "-q", "-f", s.conf, "-l", entries)
	if out, err := load.CombinedOutput(); err != nil {
		return fmt.Errorf("slapadd: %w: %s", err, out)
	}
	return nil
}

// start starts the server, and waits until it answers.
func (s *Slapd) start(ctx context.Context) error {
	s.cmd = exec.Command(s.program, "-f", s.conf, "-h", s.URL, "-d", "0")
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	if err := confine.Start(s.cmd); err != nil {
		return err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.Dial("tcp", s.URL[len("ldap://"):])
		if err == nil {
			return c.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("slapd does not answer: %w\n%s", errors.Join(err, s.Stop()), &s.out)
		}
	}
}

// Stop ends the server.
func (s *Slapd) Stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	s.cmd.Wait() // its status says nothing: it was told to end
	return nil
}
