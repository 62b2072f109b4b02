package peers

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Relay is a server that takes mail from loopback and hands it all on: what the scenarios of the
// bench compare.
type Relay struct {
	Dir    string // an empty folder, on the file system to be measured, that every user may enter
	Listen string // host:port, the host being 127.0.0.1
	// host:port, where all mail goes; with Domains at another address, or Postfix would find itself
	// there
	Next string
	// Domains, when there are any, are the recipients' domains, each to be a destination of its own
	// although all of them are at Next.
	Domains []string
	// what is put off is tried again after a second, where the server can be told to
	Retry bool
	Under []string // a command that starts the server and stays with it
}

// Kind is a server that we have an adapter for.
type Kind struct {
	Name      string
	About     string // one sentence for reports
	Available func() error
	Start     func(context.Context, Relay) (*Instance, error)
	Version   func() string
	Flush     func(*Instance) error // tries now what waits for its next attempt
}

// Kinds are all of them.
func Kinds() []Kind {
	return []Kind{
		{"postfix", "Postfix with its package's defaults", PostfixAvailable, startPostfix(nil),
			postfixVersion, flushPostfix},
		{"postfix-tuned", "Postfix as its experts set it up for volume", PostfixAvailable,
			startPostfix(tuned), postfixVersion, flushPostfix},
		{"exim", "Exim with its package's defaults, open to more clients",
			func() error { return EximAvailable(eximPrefix()) }, startExim, eximVersion, flushExim},
		{"opensmtpd", "OpenSMTPD with its defaults, but without its pauses between connections",
			OpenSMTPDAvailable, startOpenSMTPD, openSMTPDVersion, flushOpenSMTPD},
	}
}

// KindOf returns the adapter with a name.
func KindOf(name string) (Kind, error) {
	kinds := Kinds()
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, fmt.Errorf("there is no adapter for %q", name)
	}
	return kinds[i], nil
}

// private returns o.Under with, for destinations of their own, a mount namespace whose /etc/hosts
// has all domains at the next hop's address: Postfix and Exim find an address by it and keep a
// queue for each name.
func (o *Relay) private() ([]string, error) {
	if len(o.Domains) == 0 {
		return o.Under, nil
	}
	host, _, err := net.SplitHostPort(o.Next)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n")
	for _, d := range o.Domains {
		fmt.Fprintf(&b, "%s %s\n", host, d)
	}
	hosts := filepath.Join(o.Dir, "hosts")
	if err := os.WriteFile(hosts, []byte(b.String()), 0o644); err != nil {
		return nil, err
	}
	return append(slices.Clone(o.Under), "unshare", "--mount", "/bin/sh", "-c",
		`mount --bind "$0" /etc/hosts && exec "$@"`, hosts), nil
}

// tuned is what Postfix's own TUNING_README and its experts change for a relay with much mail. The
// defaults are for a server that shares a machine and meets strangers. Two things that are often
// advised are left out, because they made it slower here: connections kept in the cache always
// instead of when the queue is long (smtp_connection_cache_destinations: each transaction then goes
// through the scache process), and more levels of queue folders (hash_queue_depth: ext4 indexes its
// folders).
var tuned = map[string]string{
	// 100: no client waits for a process
	"default_process_limit": "300",
	// 1s: what a client waits when mail comes in faster than it goes out
	"in_flow_delay": "0",
	// 20,000: more of the queue is worked on at once
	"qmgr_message_active_limit":    "50000",
	"qmgr_message_recipient_limit": "50000", // 20,000
	// 5: connections to a destination at the beginning
	"initial_destination_concurrency":       "20",
	"default_destination_concurrency_limit": "50",    // 20: at most
	"smtp_connection_reuse_time_limit":      "3600s", // 300s
	"smtpd_client_connection_count_limit":   "0",     // 50: clients are our own
	// no counting of them in the anvil process
	"smtpd_client_event_limit_exceptions": "static:all",
	// no DNS look-up for each connection
	"smtpd_peername_lookup": "no",
	// a relay has no aliases to look up
	"receive_override_options": "no_address_mappings",
	// nothing is to be refused at RCPT
	"smtpd_delay_reject":       "no",
	"anvil_status_update_time": "1h",
}

func startPostfix(extra map[string]string) func(context.Context, Relay) (*Instance, error) {
	return func(ctx context.Context, r Relay) (*Instance, error) {
		host, port, err := net.SplitHostPort(r.Next)
		if err != nil {
			return nil, err
		}
		under, err := r.private()
		if err != nil {
			return nil, err
		}
		main := map[string]string{}
		for k, v := range extra {
			main[k] = v
		}
		if r.Retry {
			main["minimal_backoff_time"], main["maximal_backoff_time"],
				main["queue_run_delay"] = "1s", "1s", "1s"
		}
		o := PostfixOptions{Dir: r.Dir, Listen: r.Listen, Under: under, Main: main}
		if len(r.Domains) == 0 {
			o.Relayhost = "[" + host + "]:" + port
		} else {
			main["transport_maps"] = "texthash:" + filepath.Join(r.Dir, "transport")
			var text strings.Builder
			for _, d := range r.Domains {
				fmt.Fprintf(&text, "%s smtp:[%s]:%s\n", d, d, port)
			}
			if err := os.WriteFile(filepath.Join(r.Dir, "transport"), []byte(text.String()),
				0o644); err != nil {
				return nil, err
			}
		}
		return Postfix(ctx, o)
	}
}

func postfixVersion() string {
	out, _ := exec.Command("postconf", "-dh", "mail_version").Output()
	return "Postfix " + strings.TrimSpace(string(out))
}

func flushPostfix(i *Instance) error {
	return run("postqueue", "-c", filepath.Join(i.Dir, "conf"), "-f")
}

// eximPrefix is where Exim's package is unpacked (dpkg-deb -x): POSTROAD_EXIM says so, or it is
// where .ci/run unpacks it.
func eximPrefix() string { return cmp.Or(os.Getenv("POSTROAD_EXIM"), "/opt/postroad-peers/exim") }

// eximVolume lifts the limits that would refuse the load's connections. The rest are Exim's
// defaults.
const eximVolume = `smtp_accept_max = 1000
smtp_accept_max_per_host = 1000
remote_max_parallel = 4
queue_run_max = 5
`

func startExim(ctx context.Context, r Relay) (*Instance, error) {
	host, port, err := net.SplitHostPort(r.Next)
	if err != nil {
		return nil, err
	}
	under, err := r.private()
	if err != nil {
		return nil, err
	}
	route := host + "::" + port
	if len(r.Domains) > 0 {
		route = "$domain::" + port + " byname"
	}
	return Exim(ctx, EximOptions{Prefix: eximPrefix(), Dir: r.Dir, Listen: r.Listen, Route: route,
		Under: under, Main: eximVolume})
}

func eximVersion() string {
	out, _ := exec.Command(filepath.Join(eximPrefix(), "usr/sbin/exim4"), "-bV").Output()
	line, _, _ := strings.Cut(string(out), "\n") // "Exim version 4.96 #2 built ..."
	if f := strings.Fields(line); len(f) > 2 {
		return "Exim " + f[2]
	}
	return "Exim"
}

// flushExim runs the queue where the daemon runs, which has names of hosts of its own (private).
func flushExim(i *Instance) error {
	return run("nsenter", "--mount", "--target", strconv.Itoa(i.root),
		filepath.Join(eximPrefix(), "usr/sbin/exim4"), "-C", filepath.Join(i.Dir, "exim.conf"),
		"-qf")
}
