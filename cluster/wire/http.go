package wire

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

const (
	maxRequests = 64      // under way to one member; more wait
	maxIdle     = 16      // connections kept to one member
	httpBuffer  = 1 << 16 // octets, each way
	idleTime    = 90 * time.Second
)

// HTTP returns the listener of the inbound HTTP connections. A server on it needs no TLS of its
// own; with ConnContext its handlers know their peers. Closing it ends HTTP on this port for good.
func (p *Port) HTTP() net.Listener { return p.http }

// Client returns a client whose requests to http://<member>/path go to that member. There is no
// time limit but the request's context, and no proxy or redirect is followed. 64 requests to a
// member can be under way; more wait.
func (p *Port) Client() *http.Client { return p.client }

func (p *Port) newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, hostport string) (net.Conn, error) {
				member, err := memberOf(hostport)
				if err != nil {
					return nil, err
				}
				return p.dial(ctx, member, preface{purpose: forHTTP})
			},
			MaxConnsPerHost: maxRequests, MaxIdleConnsPerHost: maxIdle, IdleConnTimeout: idleTime,
			WriteBufferSize: httpBuffer, ReadBufferSize: httpBuffer,
			DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// memberOf reads the host of a request: a member's number, and the port that net/http adds.
func memberOf(hostport string) (uint16, error) {
	host, port, err := net.SplitHostPort(hostport)
	n, parseErr := strconv.ParseUint(host, 10, 16)
	if err != nil || parseErr != nil || n == 0 || port != "80" ||
		strconv.FormatUint(n, 10) != host {
		return 0, fmt.Errorf("%.100q is not the number of a member", hostport)
	}
	return uint16(n), nil
}

type peerKey struct{}

// ConnContext is for http.Server's field of that name: the requests' contexts then have Peer.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if peer, ok := PeerOf(c); ok {
		return context.WithValue(ctx, peerKey{}, peer)
	}
	return ctx
}

// Peer returns who sent a request.
func Peer(ctx context.Context) (Identity, bool) {
	peer, ok := ctx.Value(peerKey{}).(Identity)
	return peer, ok
}
