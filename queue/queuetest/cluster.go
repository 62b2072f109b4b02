package queuetest

import (
	"context"
	"sync"
)

// Cluster is a group of several members over one log. What is appended is decided; at most one
// member leads, and the others apply the log when they are told to, or come to lead. Its methods
// are safe for use by several goroutines.
type Cluster struct {
	Refused error                   // what a refused proposer is told
	Fault   func(data []byte) Fault // asked for each proposal at the leader; nil: None

	mu struct {
		sync.Mutex
		log     []Entry
		delayed []Entry
		leader  *Member
	}
}

// Member is one member: its rows, and its way to propose. Its Group's own Propose is not used.
type Member struct {
	*Group
	c *Cluster
}

// Join returns a new member with m's rows and nothing else, as after a restart of its process; m
// nil: without any.
func (c *Cluster) Join(machine Machine, m *Member) *Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := &Member{New(machine), c}
	if m != nil {
		n.take(m)
		if c.mu.leader == m {
			c.mu.leader = nil
		}
	}
	return n
}

// take replaces the rows by another's.
func (m *Member) take(from *Member) {
	state := from.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.State = state
	for k := range state.kept {
		m.mu.parts[k] = from.mu.parts[k]
	}
}

// Restore gives m the leader's rows as a whole, which are ahead of its own.
func (c *Cluster) Restore(m *Member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.mu.leader; l != nil && l != m {
		m.take(l)
		m.Machine.Restored()
	}
}

// Lead makes m the leader, which first applies all that was decided; nil: nobody leads.
func (c *Cluster) Lead(m *Member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.leader = m; m != nil {
		m.follow(len(c.mu.log))
	}
}

// Leader returns the leader, nil: there is none.
func (c *Cluster) Leader() *Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.leader
}

// Follow lets m apply up to most entries.
func (c *Cluster) Follow(m *Member, most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m.follow(most)
}

func (m *Member) follow(most int) (result any) {
	for at := m.Now().Index; most > 0 && at < uint64(len(m.c.mu.log)); at, most = at+1, most-1 {
		e := m.c.mu.log[at]
		m.store(e)
		result = m.applyEntry(e)
	}
	return result
}

// Propose appends a command to the log if m leads.
func (m *Member) Propose(ctx context.Context, data []byte, parts [][]byte) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	if m.c.mu.leader != m {
		return nil, m.c.Refused
	}
	return m.c.propose(data, parts)
}

// Propose appends a command at whoever leads.
func (c *Cluster) Propose(ctx context.Context, data []byte, parts [][]byte) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.leader == nil {
		return nil, c.Refused
	}
	return c.propose(data, parts)
}

func (c *Cluster) propose(data []byte, parts [][]byte) (any, error) {
	fault := None
	if c.Fault != nil {
		fault = c.Fault(data)
	}
	if fault&Depose != 0 {
		defer func() { c.mu.leader = nil }()
	}
	switch fault &^ Depose {
	case Refuse:
		return nil, c.Refused
	case LoseCommand:
		return nil, ErrUnknown
	case Delay:
		c.mu.delayed = append(c.mu.delayed, Entry{Data: data, Parts: parts})
		return nil, ErrUnknown
	}
	result := c.append(Entry{Data: data, Parts: parts})
	if fault&^Depose == LoseAnswer {
		return nil, ErrUnknown
	}
	return result, nil
}

func (c *Cluster) append(e Entry) any {
	e.Index = uint64(len(c.mu.log)) + 1
	c.mu.log = append(c.mu.log, e)
	return c.mu.leader.follow(len(c.mu.log))
}

// Release lets the delayed commands enter the log of the present leader. It returns how many there
// were.
func (c *Cluster) Release() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.mu.delayed)
	if c.mu.leader == nil {
		return 0
	}
	for _, e := range c.mu.delayed {
		c.append(e)
	}
	c.mu.delayed = nil
	return n
}

// Log returns the entries that were decided.
func (c *Cluster) Log() []Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.log
}
