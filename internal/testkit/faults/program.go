package faults

// Use gives the node another program for its next start and for its commands, as an upgrade does.
func (n *Node) Use(program string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.program = program
}

func (n *Node) programNow() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.program
}

// ExitStatus returns the status with which the node's last process ended; -1: it runs, there was
// none, or a signal ended it. After Gone.
func (n *Node) ExitStatus() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.p == nil || n.mu.p.running() {
		return -1
	}
	return n.mu.p.cmd.ProcessState.ExitCode()
}
