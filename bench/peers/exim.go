package peers

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// EximOptions describe a private Exim that keeps what it receives.
type EximOptions struct {
	// Prefix is where the packages exim4-daemon-light and exim4-base were unpacked (dpkg-deb -x):
	// Debian's mail transfer agents conflict, so that only one can be installed.
	Prefix string
	Dir    string // an empty folder on the file system to be measured
	Listen string // host:port
	Route  string // where mail goes, as the route_data of a manualroute router; "" keeps it
	Under  []string
	Main   string // further lines of the main section
}

// EximAvailable reports whether an Exim can run from prefix; nil when it can.
func EximAvailable(prefix string) error {
	if prefix == "" {
		return fmt.Errorf("POSTROAD_EXIM does not name a folder with exim4-daemon-light unpacked")
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("a private exim needs root to start")
	}
	if _, err := os.Stat(filepath.Join(prefix, "usr/sbin/exim4")); err != nil {
		return fmt.Errorf("no exim is unpacked in %s: %w", prefix, err)
	}
	return nil
}

// Exim starts an instance that relays by Route, or stores every message as it was received in the
// Maildir Dir/mail/all.
func Exim(ctx context.Context, o EximOptions) (*Instance, error) {
	if err := EximAvailable(o.Prefix); err != nil {
		return nil, err
	}
	host, port, _ := strings.Cut(o.Listen, ":")
	for _, d := range []string{"spool", "log", "mail"} {
		if err := os.MkdirAll(filepath.Join(o.Dir, d), 0o755); err != nil {
			return nil, err
		}
		if err := run("chown", "mail:mail", filepath.Join(o.Dir, d)); err != nil {
			return nil, err
		}
	}
	binary := filepath.Join(o.Prefix, "usr/sbin/exim4")
	conf := filepath.Join(o.Dir, "exim.conf")
	route := eximKeeps
	if o.Route != "" {
		route = eximRelays
	}
	text := strings.NewReplacer("DIR", o.Dir, "HOST", host, "PORT", port, "BINARY", binary, "ROUTE",
		o.Route, "MAIN", cmp.Or(o.Main, eximClients)).Replace(eximConf + route)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	if err := startUnder(o.Under, binary, "-C", conf, "-bd", "-q1m"); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := WaitPort(ctx, o.Listen); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(o.Dir, "exim.pid"))
	if err != nil {
		return nil, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return nil, err
	}
	in := &Instance{Name: "exim", Addr: o.Listen, Dir: o.Dir,
		Log: filepath.Join(o.Dir, "log", "mainlog"), root: pid}
	in.stop = func() error { return run("kill", strconv.Itoa(pid)) }
	return in, nil
}

// eximClients are what tests open at most.
const eximClients = "smtp_accept_max = 200\nsmtp_accept_max_per_host = 200"

const eximConf = `primary_hostname = exim.test
exim_path = BINARY
exim_user = mail
exim_group = mail
local_interfaces = <; HOST
daemon_smtp_ports = PORT
spool_directory = DIR/spool
log_file_path = DIR/log/%slog
pid_file_path = DIR/exim.pid
acl_smtp_rcpt = accept
acl_smtp_data = accept
smtp_accept_queue_per_connection = 0
accept_8bitmime = true
smtputf8_advertise_hosts = *
chunking_advertise_hosts = *
tls_advertise_hosts =
message_size_limit = 100M
MAIN
`

// eximKeeps stores mail.
const eximKeeps = `begin routers
all:
  driver = accept
  transport = maildir
begin transports
maildir:
  driver = appendfile
  directory = DIR/mail/all
  maildir_format
  create_directory
  user = mail
  group = mail
`

// eximRelays hands mail on, with the port in the route. byname has it ask the host's own names
// (/etc/hosts), self = send lets it talk to this machine. A look-up that fails under load would
// freeze the message.
const eximRelays = `begin routers
all:
  driver = manualroute
  domains = *
  route_data = ROUTE
  host_find_failed = defer
  self = send
  transport = smtp
begin transports
smtp:
  driver = smtp
  hosts_try_fastopen =
begin retry
* * F,2h,15m; G,16h,1h,1.5; F,4d,6h
`
