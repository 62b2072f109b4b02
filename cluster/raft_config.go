package cluster

import (
	"bytes"
	"io"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// raftConfig is the same for all groups.
func (n *Node) raftConfig() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = serverID(n.member)
	c.HeartbeatTimeout, c.ElectionTimeout = n.raftTimeout(), n.raftTimeout()
	// beyond our own lease, which stops deliveries; below what stand sets
	c.LeaderLeaseTimeout = n.opts.HeartbeatTimeout - time.Millisecond
	c.MaxAppendEntries = 16 // of up to 1 MiB each
	c.ShutdownOnRemove = false
	c.NoSnapshotRestoreOnStart = true
	c.TrailingLogs = 0                  // the keeper leaves more when there are followers
	c.SnapshotInterval = 24 * time.Hour // the keeper takes markers, by bytes
	c.SnapshotThreshold = 1 << 62
	c.Logger = n.raftLogger()
	return c
}

func (n *Node) raftLogger() hclog.Logger {
	return hclog.New(
		&hclog.LoggerOptions{
			Name:        "raft",
			Level:       hclog.Error,
			Output:      logWriter(n.opts.Logf),
			DisableTime: true,
		},
	)
}

type logWriter func(format string, args ...any)

// noise is what raft says again and again while another member is away, and when the port closes.
// Status says it better.
var noise = [][]byte{
	[]byte("failed to appendEntries to"),
	[]byte("failed to heartbeat to"),
	[]byte("failed to decode incoming command"),
	[]byte(
		"failed to make request",
	),
	[]byte("peer has newer term"),
	[]byte("failed to flush response"),
	[]byte("failed to accept connection"),
	[]byte("failed to install snapshot"),
	[]byte("failed to send snapshot"),
}

func (w logWriter) Write(p []byte) (int, error) {
	for _, n := range noise {
		if bytes.Contains(p, n) {
			return len(p), nil
		}
	}
	w("%s", bytes.TrimSpace(p))
	return len(p), nil
}

var _ io.Writer = logWriter(nil)
