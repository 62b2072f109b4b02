package eventloop

import (
	"reflect"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// readBuffer is the size of a loop's receive buffer, and so the most that one Data call hands over
// of what is new.
const readBuffer = 64 << 10

// adapter turns gnet's callbacks into ours.
type adapter struct {
	gnet.BuiltinEventEngine
	e *Engine
}

func (a *adapter) OnOpen(gc gnet.Conn) ([]byte, gnet.Action) {
	in := gc.Context().(*entry)
	in.opened = true
	if in.client {
		a.e.stats.dialled.Add(1)
	} else {
		a.e.stats.accepted.Add(1)
	}
	l := a.e.loopOf(gc)
	c := newConn(l, gc, in)
	gc.SetContext(c)
	c.start(in)
	l.settle()
	return nil, gnet.None
}

func (a *adapter) OnTraffic(gc gnet.Conn) gnet.Action {
	c := gc.Context().(*Conn)
	p, err := gc.Next(-1)
	if err != nil { // cannot happen: we ask for whatever there is
		c.fail(err)
	}
	c.received(p)
	c.loop.handled()
	return gnet.None
}

func (a *adapter) OnClose(gc gnet.Conn, err error) gnet.Action {
	c := gc.Context().(*Conn)
	c.closed(err)
	c.loop.settle()
	return gnet.None
}

// loopOf returns our side of the gnet loop that gc is on.
func (e *Engine) loopOf(gc gnet.Conn) *loop {
	gl := gc.EventLoop()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.mu.loops {
		if l.gl == gl {
			return l
		}
	}
	l := newLoop(e, gl, epollOf(gc))
	// loops() has handed out the old array
	e.mu.loops = append(e.mu.loops[:len(e.mu.loops):len(e.mu.loops)], l)
	return l
}

// epollOf returns the epoll descriptor of gc's loop, or -1. gnet has no way to stop reading from
// one connection, which flow control needs; changing what epoll reports for its descriptor is one.
// gnet does not hand out the epoll descriptor, hence the reflection: read only, once per loop, and
// when a later gnet hides it elsewhere TestEpollOf fails and a connection over InboundLimit is
// closed instead of paused.
func epollOf(gc gnet.Conn) int {
	v := reflect.ValueOf(gc)
	for _, field := range []string{"loop", "poller", "fd"} {
		if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
			return -1
		}
		if v = v.Elem().FieldByName(field); !v.IsValid() {
			return -1
		}
	}
	if v.Kind() != reflect.Int {
		return -1
	}
	return int(v.Int())
}

// watch sets whether the loop is to read from c. It leaves gnet's interest in writing as it is.
func (c *Conn) watch(read bool) bool {
	if c.loop.epoll < 0 {
		return false
	}
	ev := unix.EpollEvent{Fd: int32(c.gc.Fd())}
	if read {
		ev.Events |= unix.EPOLLIN | unix.EPOLLPRI
	}
	if c.gc.OutboundBuffered() > 0 {
		ev.Events |= unix.EPOLLOUT
	}
	return unix.EpollCtl(c.loop.epoll, unix.EPOLL_CTL_MOD, c.gc.Fd(), &ev) == nil
}

// logger gives gnet's warnings to ours.
type logger struct{ printf func(string, ...any) }

func (l logger) Debugf(string, ...any)             {}
func (l logger) Infof(string, ...any)              {}
func (l logger) Warnf(format string, args ...any)  { l.printf("gnet: "+format, args...) }
func (l logger) Errorf(format string, args ...any) { l.printf("gnet: "+format, args...) }
func (l logger) Fatalf(format string, args ...any) { l.printf("gnet: "+format, args...) }
