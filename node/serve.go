package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/version"
	"github.com/postroad/postroad/operate/admin/api"
)

// startTimeout bounds each step of the start that needs no other node, stopTimeout what is under
// way when the node is told to stop.
const (
	startTimeout = 2 * time.Minute
	stopTimeout  = 30 * time.Second
)

// Serve runs a node until ctx ends (SIGTERM or SIGINT; a second signal ends the process at once) or
// a part of it cannot go on. The configuration is read again from file at SIGHUP; "" is the
// embedded default.
func Serve(ctx context.Context, file string, cfg *config.Config) error {
	n, err := startNode(ctx, file, cfg)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "postroad: stopped while it was starting:", err)
		return nil
	}
	if err != nil {
		return DiskTrouble(cfg.Node.DataDir, err)
	}
	n.log.Logf("postroad %s is ready: %s", version.Version, n.listening())
	n.warnOfBoth(n.cfg())
	service := n.service
	watching, cancel := context.WithCancel(context.Background())
	defer cancel()
	go service.Watch(watching, n.Live) // to the end of the stop, which may hang, too
	n.logNotifyErr(service.Ready(n.listening()))
	return n.serve(ctx)
}

// logNotifyErr reports that the service manager could not be told how the node is. Mail goes on.
func (n *node) logNotifyErr(err error) {
	if err != nil {
		n.log.Errorf("%v", err)
	}
}

// serve waits for the end and stops the node.
func (n *node) serve(ctx context.Context) error {
	service := n.service
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	var eviction error
	for waiting := true; waiting; {
		select {
		case err := <-n.fatal:
			// A promise cannot be kept any more: the process ends here, and nothing is
			// answered from here on.
			n.logNotifyErr(service.Status("fatal: " + err.Error()))
			return DiskTrouble(n.cfg().Node.DataDir, fmt.Errorf("fatal: %w", err))
		case <-hangups:
			n.log.Reopen()
			n.reread() // it has been logged
		case asked := <-n.reloads:
			asked <- n.reread()
		case why := <-n.leave:
			eviction, waiting = api.Permanent(why), false
		case <-ctx.Done():
			waiting = false
		}
	}
	n.log.Logf("stopping: what is under way may take %v", stopTimeout)
	n.logNotifyErr(service.Stopping("finishing what is under way"))
	stopping, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	err := n.stop(stopping)
	if errors.Is(err, context.DeadlineExceeded) {
		// Nothing is lost: what was cut off is in the queue, or its client has no 250.
		fmt.Fprintln(os.Stderr, "postroad:", err)
		err = nil
	}
	select {
	case failed := <-n.fatal: // meanwhile
		err = errors.Join(fmt.Errorf("while stopping: %w", failed), err)
	default:
	}
	return errors.Join(eviction, DiskTrouble(n.cfg().Node.DataDir, err))
}

// listening names the addresses, for the log.
func (n *node) listening() string {
	s := ""
	for _, l := range n.cfg().Listeners {
		s += fmt.Sprintf("%s on %s, ", l.Kind, l.Address)
	}
	return s + "administration on " + n.cfg().Admin.Address
}
