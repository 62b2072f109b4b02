package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// DovecotOptions describe a private Dovecot: a store behind LMTP, and POP3 in front of it.
type DovecotOptions struct {
	Dir  string // an empty folder on the file system to be measured
	LMTP string // host:port; it listens on the socket Dir/run/lmtp, too. "": no LMTP
	POP3 string // host:port; "": no POP3
	// Users have mailboxes, Maildirs at Dir/mail/ADDRESS, and the password "secret"; none: any
	// address has.
	Users []DovecotUser
	Main  map[string]string // further settings
}

// DovecotUser is one user.
type DovecotUser struct {
	Address string
	Quota   string // such as "100K"; "": none
}

// DovecotAvailable reports whether Dovecot's LMTP and POP3 servers are installed; nil when they
// are.
func DovecotAvailable() error {
	if os.Geteuid() != 0 {
		return errors.New("a private dovecot needs root to start")
	}
	if _, err := exec.LookPath("dovecot"); err != nil {
		return errors.New("dovecot is not installed (apt-get install dovecot-core)")
	}
	for _, p := range []string{"lmtp", "pop3"} {
		if _, err := os.Stat("/usr/lib/dovecot/" + p); err != nil {
			return fmt.Errorf("dovecot's %s server is not installed (apt-get install dovecot-%sd)",
				p, p)
		}
	}
	return nil
}

// Dovecot starts a private instance with the package's defaults but for what the options say. Its
// mail belongs to the user mail.
func Dovecot(ctx context.Context, o DovecotOptions) (*Instance, error) {
	if err := DovecotAvailable(); err != nil {
		return nil, err
	}
	conf, err := o.layOut()
	if err != nil {
		return nil, err
	}
	root, err := launch(nil, "dovecot", "-F", "-c", conf)
	if err != nil {
		return nil, err
	}
	in := &Instance{Name: "dovecot", Addr: o.LMTP, Dir: o.Dir, Log: filepath.Join(o.Dir, "log"),
		root: root}
	in.stop = func() error { return syscall.Kill(in.root, syscall.SIGTERM) }
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for _, addr := range []string{o.LMTP, o.POP3} {
		if addr == "" {
			continue
		}
		if err := WaitPort(ctx, addr); err != nil {
			log, _ := os.ReadFile(in.Log)
			return nil, errors.Join(fmt.Errorf("%w\n%s", err, log), in.Stop())
		}
	}
	return in, nil
}

// layOut makes the folders and files, and returns the path of the configuration.
func (o *DovecotOptions) layOut() (conf string, err error) {
	for _, d := range []string{"run", "mail", "state"} {
		if err := os.MkdirAll(filepath.Join(o.Dir, d), 0o755); err != nil {
			return "", err
		}
	}
	if err := run("chown", "mail:mail", filepath.Join(o.Dir, "mail")); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(o.Dir, "users"), []byte(o.users()), 0o644); err != nil {
		return "", err
	}
	conf = filepath.Join(o.Dir, "dovecot.conf")
	return conf, os.WriteFile(conf, []byte(o.conf()), 0o644)
}

// users is the file of the users.
func (o *DovecotOptions) users() string {
	owner := ownerOf("mail")
	var b strings.Builder
	for _, u := range o.Users {
		extra := ""
		if u.Quota != "" {
			extra = "userdb_quota_rule=*:storage=" + u.Quota
		}
		fmt.Fprintf(&b, "%s:{PLAIN}secret:%s:%s::%s::%s\n", u.Address, owner[0], owner[1],
			filepath.Join(o.Dir, "mail", u.Address), extra)
	}
	return b.String()
}

func (o *DovecotOptions) conf() string {
	var protocols []string
	listener := func(name, addr, further string) string {
		if addr == "" {
			return ""
		}
		protocols = append(protocols, name)
		host, port, _ := strings.Cut(addr, ":")
		return fmt.Sprintf("    address = %s\n    port = %s\n%s", host, port, further)
	}
	lmtp, pop3 := listener("lmtp", o.LMTP, ""), listener("pop3", o.POP3, "")
	owner := ownerOf("mail")
	db := "passwd-file\n  args = username_format=%u " + filepath.Join(o.Dir, "users")
	userdb, passdb := "  driver = "+db, "  driver = "+db
	if len(o.Users) == 0 {
		passdb = "  driver = static\n  args = password=secret"
		userdb = fmt.Sprintf(
			"  driver = static\n  args = uid=%s gid=%s home=%s/mail/%%u allow_all_users=yes",
			owner[0], owner[1], o.Dir)
	}
	var main strings.Builder
	for k, v := range o.Main {
		fmt.Fprintf(&main, "%s = %s\n", k, v)
	}
	return strings.NewReplacer("DIR", o.Dir, "PROTOCOLS", strings.Join(protocols, " "), "LMTP",
		lmtp, "POP3", pop3, "USERDB", userdb, "PASSDB", passdb,
		"MAIN", main.String()).Replace(dovecotConf)
}

const dovecotConf = `base_dir = DIR/run
state_dir = DIR/state
log_path = DIR/log
protocols = PROTOCOLS
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain
mail_location = maildir:~/Maildir
first_valid_uid = 1
postmaster_address = postmaster@dovecot.test
hostname = dovecot.test
mail_plugins = quota
plugin {
  quota = count:User quota
  quota_vsizes = yes
}
passdb {
PASSDB
}
userdb {
USERDB
}
service lmtp {
  inet_listener lmtp {
LMTP  }
  unix_listener lmtp {
    mode = 0666
  }
}
service pop3-login {
  inet_listener pop3 {
POP3  }
  inet_listener pop3s {
    port = 0
  }
}
MAIN`
