package peers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"
)

// PostfixOptions describe a private Postfix.
type PostfixOptions struct {
	// an empty folder that user postfix may enter; on the file system to be measured
	Dir       string
	Listen    string // host:port
	Relayhost string // "[127.0.0.1]:2525", or "" when it delivers locally
	// Local is a domain whose mail goes into Maildirs below Dir/mail; "" for none.
	Local string
	Log   bool // keep Dir/log/postfix.log
	// Under is a command that starts the instance, strace for one, and stays with it; empty: none.
	Under []string
	Main  map[string]string // further main.cf parameters
}

// PostfixAvailable reports whether the postfix package is installed; nil when it is.
func PostfixAvailable() error { return available("postfix", "postfix", "postconf") }

func available(pkg string, programs ...string) error {
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			return fmt.Errorf("%s is not installed (apt-get install %s)", p, pkg)
		}
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("a private %s needs root to start", pkg)
	}
	return nil
}

// Postfix starts a private instance with the package's defaults but for what the options say.
func Postfix(ctx context.Context, o PostfixOptions) (*Instance, error) {
	if err := PostfixAvailable(); err != nil {
		return nil, err
	}
	host, port, _ := strings.Cut(o.Listen, ":")
	conf := filepath.Join(o.Dir, "conf")
	main := map[string]string{
		"compatibility_level": "3.6",
		"queue_directory":     filepath.Join(o.Dir, "spool"),
		"data_directory":      filepath.Join(o.Dir, "data"),
		"daemon_directory":    "/usr/lib/postfix/sbin",
		"command_directory":   "/usr/sbin",
		"mail_owner":          "postfix",
		"setgid_group":        "postdrop",
		"myhostname":          "postfix.test",
		"mydestination":       "",
		"inet_interfaces":     host,
		"inet_protocols":      "ipv4",
		"mynetworks":          "127.0.0.0/8",
		"relayhost":           o.Relayhost,
		"alias_maps":          "",
		"alias_database":      "",
		// The instance speaks to loopback only, whose MX nobody publishes.
		"disable_dns_lookups":          "yes",
		"smtpd_tls_security_level":     "none",
		"smtp_tls_security_level":      "none",
		"smtpd_relay_restrictions":     "permit_mynetworks,reject",
		"message_size_limit":           "104857600",
		"mailbox_size_limit":           "0",
		"virtual_mailbox_limit":        "0",
		"smtp_host_lookup":             "native",
		"smtputf8_enable":              "yes",
		"smtpd_client_restrictions":    "",
		"multi_instance_enable":        "no",
		"master_service_disable":       "",
		"default_database_type":        "hash",
		"import_environment":           "MAIL_CONFIG TZ",
		"maillog_file_prefixes":        o.Dir,
		"smtpd_forbid_bare_newline":    "no",
		"in_flow_delay":                "1s",
		"local_header_rewrite_clients": "",
	}
	if o.Local != "" {
		owner := ownerOf("postfix")
		main["virtual_mailbox_domains"] = o.Local
		main["virtual_mailbox_base"] = filepath.Join(o.Dir, "mail")
		main["virtual_mailbox_maps"] = "static:all/"
		main["virtual_uid_maps"] = "static:" + owner[0]
		main["virtual_gid_maps"] = "static:" + owner[1]
		main["virtual_minimum_uid"] = "1"
	}
	if o.Log {
		main["maillog_file"] = filepath.Join(o.Dir, "log", "postfix.log")
	}
	for k, v := range o.Main {
		main[k] = v
	}
	for _, d := range []string{"conf", "spool", "data", "mail", "log"} {
		if err := os.MkdirAll(filepath.Join(o.Dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	for _, d := range []string{"data", "mail"} {
		if err := run("chown", "postfix:postfix", filepath.Join(o.Dir, d)); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(filepath.Join(conf, "main.cf"), []byte(mainCF(main)),
		0o644); err != nil {
		return nil, err
	}
	master := strings.Replace(masterCF, "LISTEN", host+":"+port, 1)
	if err := os.WriteFile(filepath.Join(conf, "master.cf"), []byte(master), 0o644); err != nil {
		return nil, err
	}
	if err := startUnder(o.Under, "postfix", "-c", conf, "start"); err != nil {
		return nil, err
	}
	in := &Instance{Name: "postfix", Addr: o.Listen, Dir: o.Dir, Log: main["maillog_file"]}
	in.stop = func() error { return run("postfix", "-c", conf, "stop") }
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := WaitPort(ctx, o.Listen); err != nil {
		in.stop()
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(o.Dir, "spool", "pid", "master.pid"))
	if err == nil {
		in.root, err = strconv.Atoi(strings.TrimSpace(string(b)))
	}
	if err != nil {
		in.stop()
		return nil, fmt.Errorf("postfix started but left no process ID: %w", err)
	}
	return in, nil
}

func mainCF(m map[string]string) string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	var b strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&b, "%s = %s\n", k, m[k])
	}
	return b.String()
}

func ownerOf(user string) [2]string {
	uid, _ := exec.Command("id", "-u", user).Output()
	gid, _ := exec.Command("id", "-g", user).Output()
	return [2]string{strings.TrimSpace(string(uid)), strings.TrimSpace(string(gid))}
}

// The services of Debian's master.cf that relaying and virtual delivery need, none in a chroot.
const masterCF = `LISTEN inet n - n - - smtpd
pickup    unix  n - n 60  1 pickup
cleanup   unix  n - n -   0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n -   - trivial-rewrite
bounce    unix  - - n -   0 bounce
defer     unix  - - n -   0 bounce
trace     unix  - - n -   0 bounce
verify    unix  - - n -   1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -   - proxymap
proxywrite unix - - n -   1 proxymap
smtp      unix  - - n -   - smtp
relay     unix  - - n -   - smtp
showq     unix  n - n -   - showq
error     unix  - - n -   - error
retry     unix  - - n -   - error
discard   unix  - - n -   - discard
local     unix  - n n -   - local
virtual   unix  - n n -   - virtual
lmtp      unix  - - n -   - lmtp
anvil     unix  - - n -   1 anvil
scache    unix  - - n -   1 scache
postlog   unix-dgram n - n - 1 postlogd
`
