package peers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// openSMTPDPrefix is where the package opensmtpd is unpacked (dpkg-deb -x): POSTROAD_OPENSMTPD says
// so, or it is where .ci/run unpacks it.
func openSMTPDPrefix() string {
	return cmp.Or(os.Getenv("POSTROAD_OPENSMTPD"), "/opt/postroad-peers/opensmtpd")
}

// OpenSMTPDAvailable reports whether an OpenSMTPD can run; nil when it can.
func OpenSMTPDAvailable() error {
	if os.Geteuid() != 0 {
		return errors.New("a private opensmtpd needs root to start")
	}
	if out, err := exec.Command(filepath.Join(openSMTPDPrefix(), "usr/sbin/smtpd"),
		"-h").CombinedOutput(); !strings.Contains(string(out), "version") {
		return fmt.Errorf("no opensmtpd is unpacked in %s: %w: %s", openSMTPDPrefix(), err, out)
	}
	return nil
}

// openSMTPDStart gives the server, whose paths and users are compiled in, a mount namespace in
// which they lie below Dir. $0 is Dir, $1 the program.
const openSMTPDStart = `set -e
mount --bind "$0/passwd" /etc/passwd
mount --bind "$0/group" /etc/group
mount --bind "$0/run" /run
mount --bind "$0/spool" /var/spool
mount --bind "$0/lib" /var/lib
exec "$1" -d -f "$0/smtpd.conf"`

func startOpenSMTPD(ctx context.Context, r Relay) (*Instance, error) {
	if len(r.Domains) > 0 {
		return nil, errors.New(
			"OpenSMTPD has no way to send several destinations to one port of this machine")
	}
	if err := r.layOutOpenSMTPD(); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(r.Dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	args := append(append([]string{}, r.Under...), "unshare", "--mount", "/bin/sh", "-c",
		openSMTPDStart, r.Dir, filepath.Join(openSMTPDPrefix(), "usr/sbin/smtpd"))
	root, err := launch(log, args[0], args[1:]...)
	if err != nil {
		return nil, err
	}
	in := &Instance{Name: "opensmtpd", Addr: r.Listen, Dir: r.Dir, Log: log.Name(), root: root}
	in.stop = func() error {
		for _, pid := range in.PIDs() { // with what it runs under
			syscall.Kill(pid, syscall.SIGTERM)
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := WaitPort(ctx, r.Listen); err != nil {
		return nil, errors.Join(err, in.Stop())
	}
	return in, nil
}

// openSMTPDLimits takes away the pauses between connections to a route, by default seconds for each
// hundred messages, which would be all that is measured; and the end of a session after a hundred
// messages in.
const openSMTPDLimits = `mta limit conn-delay-route 0
mta limit conn-delay-relay 0
mta limit reconn-delay-route 0
smtp limit max-mails 1000000
`

// layOutOpenSMTPD makes the files and folders.
func (r *Relay) layOutOpenSMTPD() error {
	for _, d := range []string{"run", "spool/smtpd", "lib/opensmtpd/empty"} {
		if err := os.MkdirAll(filepath.Join(r.Dir, d), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(r.Dir, "spool/smtpd"), 0o711); err != nil {
		return err
	}
	for file, more := range map[string]string{
		"passwd": "opensmtpd:x:7101:7101::/var/lib/opensmtpd/empty:/usr/sbin/nologin\nopensmtpq:x:7102:7102::/var/lib/opensmtpd/empty:/usr/sbin/nologin\n",
		"group":  "opensmtpd:x:7101:\nopensmtpq:x:7102:\n",
	} {
		b, err := os.ReadFile("/etc/" + file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(r.Dir, file), append(b, more...), 0o644); err != nil {
			return err
		}
	}
	host, port, err := net.SplitHostPort(r.Listen)
	if err != nil {
		return err
	}
	conf := fmt.Sprintf("smtp max-message-size 100M\n"+openSMTPDLimits+
		"listen on %s port %s\naction \"relay\" relay host \"smtp://%s\"\nmatch from any for "+
		"any action \"relay\"\n", host, port, r.Next)
	return os.WriteFile(filepath.Join(r.Dir, "smtpd.conf"), []byte(conf), 0o644)
}

func openSMTPDVersion() string {
	out, _ := exec.Command(filepath.Join(openSMTPDPrefix(), "usr/sbin/smtpd"),
		"-h").CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "version: "); ok {
			return v
		}
	}
	return "OpenSMTPD"
}

// flushOpenSMTPD talks to the server in its namespace.
func flushOpenSMTPD(i *Instance) error {
	for _, pid := range i.PIDs() {
		if exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); strings.HasSuffix(exe,
			"/smtpd") {
			return run("nsenter", "--target", fmt.Sprint(pid), "--mount", "--setgid", "7102",
				filepath.Join(openSMTPDPrefix(), "usr/sbin/smtpctl"), "schedule", "all")
		}
	}
	return errors.New("opensmtpd does not run")
}
