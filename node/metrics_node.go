package node

import (
	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/internal/telemetry"
)

func (n *node) observeCluster(o telemetry.Observer) {
	var r raftFigures
	for _, id := range n.reconciler.Running() {
		r.add(n.store.Group(id).Status())
	}
	o.Gauge("members", "nodes of the cluster", float64(len(n.control.Members())))
	o.Gauge("members_missed", "nodes that have not answered for ten minutes",
		float64(len(n.detector.Absent(member.MissedAfter))))
	_, barred := n.control.Suspensions()
	o.Gauge("suspensions", "suspensions in force in the cluster", float64(len(barred)))
	moving := 0
	for _, g := range n.control.Groups() {
		if !g.Settled() {
			moving++
		}
	}
	o.Gauge("groups_moving", "raft groups of the cluster that do not lie yet where they should",
		float64(moving))
	o.Gauge("groups", "raft groups of which this node is a member",
		float64(len(n.reconciler.Running())))
	o.Gauge("groups_led", "raft groups that this node leads", float64(r.led))
	o.Gauge("groups_without_leader", "raft groups of this node of which it knows no leader",
		float64(r.orphaned))
	o.Counter("leaderships_total",
		"times that this node began to lead a raft group; over all nodes, changes of leaders",
		n.store.Stats().Leaderships)
	o.Gauge("members_silent",
		"members that do not answer, of all groups that this node leads together",
		float64(r.silent))
	o.Gauge("lag_entries",
		"entries that the member lacks that lacks most of those that answer, of the groups that "+
			"this node leads", float64(r.lag))
	o.Gauge("uncommitted_entries",
		"entries of the groups that this node leads that a majority does not have yet",
		float64(r.uncommitted))
}

// raftFigures are those of all groups of this node.
type raftFigures struct {
	led, orphaned, silent int
	lag, uncommitted      uint64
}

func (r *raftFigures) add(s cluster.Status) {
	if s.Leader == 0 {
		r.orphaned++
	}
	if !s.Leading {
		return
	}
	r.led++
	r.silent += len(s.Silent)
	r.uncommitted += s.Last - min(s.Commit, s.Last)
	for _, lag := range s.Lag {
		r.lag = max(r.lag, lag)
	}
}

func (n *node) observeStore(o telemetry.Observer) {
	s := n.store.Stats()
	o.Counter("syncs_total", "fdatasyncs of the log", s.Log.Syncs)
	o.Gauge("sync_seconds", "time spent in fdatasyncs of the log since the start",
		s.Log.SyncTime.Seconds())
	o.Counter("log_written_octets_total", "octets written to the log", s.Log.Written)
	o.Counter("log_moved_octets_total", "octets of content moved to free segments", s.Log.Moved)
	o.Counter("state_written_octets_total",
		"octets written by flushes and compactions of the state", s.StateWritten)
	o.Gauge("log_segments", "segment files in use", float64(s.Log.Segments))
	o.Gauge("log_live_octets", "octets of content in the log that messages refer to",
		float64(s.Log.LiveParts))
}

func (n *node) observeNode(o telemetry.Observer) {
	o.Gauge("memory_reserved_octets", "octets of mail held in memory", float64(n.budget.Used()))
	o.Gauge("memory_limit_octets", "limits.memory", float64(n.budget.Limit()))
	o.Gauge("disk_room_octets", "octets of disk that new mail may still take",
		float64(n.pressure.space.Left()))
	o.Gauge("disk_free_octets", "octets of the data directory's file system that are free",
		float64(n.pressure.freeNow.Load()))
	o.Gauge("disk_octets", "octets of that file system", float64(n.pressure.size.Load()))
	for name, at := range n.cert.Expiries() {
		o.GaugeBy("certificate_expires_at_seconds",
			"when a certificate that is shown expires, seconds since 1970, by its first name",
			"name", name, float64(at.Unix()))
	}
	const reloads = "reloads of the configuration, by SIGHUP, an operator or a push"
	o.CounterBy("reloads_total", reloads, "result", "taken", n.reloading.taken.Load())
	o.CounterBy("reloads_total", reloads, "result", "refused", n.reloading.refused.Load())
	o.Gauge("configured_at_seconds",
		"when the configuration in force was taken, seconds since 1970",
		float64(n.reloading.at.Load())/1000)
	s := n.log.Stats()
	o.Counter("log_dropped_total",
		"log lines and events dropped because they could not be written in time",
		s.LinesDropped+s.EventsDropped)
}
