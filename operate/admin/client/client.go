// Package client talks to a node as operators do: for the command line, and for nodes among
// themselves.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/internal/unixsock"
	"github.com/postroad/postroad/operate/admin/api"
)

// Client talks to one node.
type Client struct {
	where string // for messages; "": their reader knows
	base  string
	token string
	http  *http.Client
	// patience is how long a stream may say nothing; 0: for ever.
	patience time.Duration
}

// New returns a client of the node at target: the path of its unix socket or data directory,
// or host:port with a token. It does not connect yet.
func New(target, token string) *Client {
	c := &Client{where: target, base: "http://localhost", token: token}
	t := &http.Transport{MaxIdleConns: 1, DisableCompression: true}
	if IsAddress(target) {
		c.base = "http://" + target
	} else {
		t.DialContext = func(context.Context, string, string) (net.Conn, error) {
			return unixsock.Dial(target)
		}
	}
	c.http = &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	return c
}

// ForPeer returns a client that another node of the cluster answers at base, through h. A stream
// that says nothing for as long as patience ends; 0: none does.
func ForPeer(base string, h *http.Client, patience time.Duration) *Client {
	return &Client{base: base, http: h, patience: patience}
}

// SaidBy has messages say which file names the node; "": none does.
func (c *Client) SaidBy(file string) *Client {
	if file != "" {
		c.where += ", where " + file + " has it"
	}
	return c
}

// IsAddress tells host:port from a path.
func IsAddress(target string) bool {
	host, port, err := net.SplitHostPort(target)
	return err == nil && port != "" && !strings.Contains(host, "/")
}

// Close gives the connection back.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// do makes one request and returns the body of an answer that is no Error. A body that is an
// io.Reader is sent as it is, others as JSON.
func (c *Client) do(ctx context.Context, method, path string, body any) (io.ReadCloser, error) {
	content, octets := body.(io.Reader)
	if body != nil && !octets {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false) // a text of many < and > would outgrow what a node reads
		if err := enc.Encode(body); err != nil {
			return nil, api.Fail(api.ExitSoftware, err.Error(), "")
		}
		content = &b
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, content)
	if err != nil {
		return nil, api.Fail(api.ExitUsage, fmt.Sprintf("%q is no node: %v", c.where, err),
			"give the path of a socket, a data directory or host:port")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	var sent atomic.Bool
	resp, err := c.http.Do(req.WithContext(httptrace.WithClientTrace(ctx,
		&httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }})))
	if err != nil {
		return nil, c.noAnswer(ctx, err, sent.Load())
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	return nil, readError(resp)
}

// noAnswer says why nobody answers and what to do about it. sent: the request may have been read,
// and done.
func (c *Client) noAnswer(ctx context.Context, err error, sent bool) *api.Error {
	if errors.Is(context.Cause(ctx), errSilent) {
		return api.Fail(api.ExitTemporary, errSilent.Error(), "try again")
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	if errors.Is(err, context.Canceled) {
		return api.Fail(api.ExitTemporary, "interrupted", "")
	}
	if sent {
		return api.Fail(api.ExitTemporary, "the connection was cut off before the answer: "+
			err.Error(), "what was asked may have been done; try again")
	}
	if c.where == "" {
		return api.Fail(api.ExitUnavailable, "it cannot be reached: "+err.Error(), "")
	}
	if errors.Is(err, fs.ErrPermission) {
		return api.Fail(api.ExitPermission, fmt.Sprintf("the node at %s: %v", c.where, err),
			"run the command as the node's user or root, or as a member of the group that "+
				"admin.socket_group names")
	}
	return api.Fail(api.ExitUnavailable, fmt.Sprintf("no node answers at %s: %v", c.where, err),
		"start one with `postroad serve`, or name another with --config FILE, --node "+
			"PATH|HOST:PORT or POSTROAD_NODE")
}

func readError(resp *http.Response) *api.Error {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var e api.Error
	if err := json.Unmarshal(b, &e); err != nil || e.Exit == 0 {
		return api.Fail(api.ExitSoftware, fmt.Sprintf("unexpected answer %s: %s", resp.Status,
			bytes.TrimSpace(b)), "is that a Postroad node, and of this version?")
	}
	return &e
}

// Call makes a request with a small answer.
func (c *Client) Call(ctx context.Context, method, path string, body, into any) error {
	r, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := json.NewDecoder(r).Decode(into); err != nil {
		return api.Fail(api.ExitTemporary, "the answer was cut off: "+err.Error(), "try again")
	}
	return nil
}

// Silent reports whether an error is of a node that said nothing for too long.
func Silent(err error) bool { return api.AsError(err).Message == errSilent.Error() }

// errSilent is the cause when a node says nothing for too long.
var errSilent = errors.New("it does not answer")

// Stream makes a request and gives item and progress what comes; it returns the total of the last
// line.
func (c *Client) Stream(
	ctx context.Context, method, path string, body any, item func(json.RawMessage) error,
	progress func(int64),
) (*api.Total, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := c.watch(cancel)
	defer watch.Stop()
	r, err := c.do(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for dec := json.NewDecoder(r); ; {
		var l api.Line
		watch.Reset(c.patience)
		if err := dec.Decode(&l); err != nil {
			return nil, cutOff(ctx, err)
		}
		watch.Stop() // the time that item takes is not the node's
		switch {
		case l.Error != nil:
			return nil, l.Error
		case l.Total != nil:
			return l.Total, nil
		case l.Item != nil && item != nil:
			if err := item(l.Item); err != nil {
				return nil, err
			}
		case l.Progress > 0 && progress != nil:
			progress(l.Progress)
		}
	}
}

// watch cancels when a node says nothing for too long.
func (c *Client) watch(cancel context.CancelCauseFunc) stopwatch {
	if c.patience == 0 {
		return stopwatch{}
	}
	return stopwatch{time.AfterFunc(c.patience, func() { cancel(errSilent) })}
}

// stopwatch is a timer that may not be there.
type stopwatch struct{ t *time.Timer }

func (w stopwatch) Reset(d time.Duration) {
	if w.t != nil {
		w.t.Reset(d)
	}
}

func (w stopwatch) Stop() {
	if w.t != nil {
		w.t.Stop()
	}
}

func cutOff(ctx context.Context, err error) *api.Error {
	switch {
	case errors.Is(context.Cause(ctx), errSilent):
		return api.Fail(api.ExitTemporary, errSilent.Error(), "try again")
	case ctx.Err() != nil:
		return api.Fail(api.ExitTemporary, "interrupted", "")
	}
	return api.Fail(api.ExitTemporary, "the answer was cut off: "+err.Error(),
		"what came is right, but there is more; try again")
}
