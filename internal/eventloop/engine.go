package eventloop

import (
	"context"
	"net"
)

// Engine is a set of event loops and the connections on them. Its methods may be called on any goroutine.
type Engine struct{}

// Start starts the loops.
func Start(o Options) (*Engine, error) { panic("not yet") }

// Serve accepts the connections of l until the engine stops accepting. It returns at once; l belongs to the engine from the call on.
func (e *Engine) Serve(l net.Listener, o ListenerOptions) error { panic("not yet") }

// StopAccepting closes the listeners. When it returns, no further connection will be opened.
func (e *Engine) StopAccepting() { panic("not yet") }

// Each calls f once for each open connection, on the connection's loop, soon.
func (e *Engine) Each(f func(Handler)) { panic("not yet") }

// Shutdown stops accepting, waits until all connections have ended, and stops the loops. It does not ask the connections to end: that is
// the protocol's to say (StopAccepting, Each, then Shutdown). When ctx ends first, the remaining connections are aborted and ctx's error is returned.
func (e *Engine) Shutdown(ctx context.Context) error { panic("not yet") }

// Connections returns the number of open connections.
func (e *Engine) Connections() int { panic("not yet") }

// MaxConnections returns the number of connections above which new ones are refused.
func (e *Engine) MaxConnections() int { panic("not yet") }

// Stats returns the totals.
func (e *Engine) Stats() Stats { panic("not yet") }
