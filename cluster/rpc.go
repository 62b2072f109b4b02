package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/postroad/postroad/cluster/wire"
)

// ResultCodec is what a StateMachine has whose results cross the network: the answers to proposals
// that were forwarded.
type ResultCodec interface {
	AppendResult(b []byte, result any) []byte
	ParseResult(b []byte) (any, error)
}

// Checker is what a StateMachine has that looks at a forwarded command before it enters the log,
// where all members would have to apply it.
type Checker interface {
	CheckForwarded(data []byte, parts [][]byte) error
}

// Handler answers the other members' requests under /cluster/. It trusts whoever reaches it: serve
// it on the node's port only.
func (n *Node) Handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /cluster/state", n.serveState)
	m.HandleFunc("GET /cluster/index", n.serveIndex)
	m.HandleFunc("POST /cluster/fetch", n.serveFetch)
	m.HandleFunc("POST /cluster/propose", n.servePropose)
	m.HandleFunc("POST /cluster/transfer", n.serveTransfer)
	m.HandleFunc("POST /cluster/stand", n.serveCampaign)
	m.HandleFunc("GET /cluster/standing", n.serveStanding)
	m.HandleFunc("GET /cluster/terms", n.serveTerms)
	return m
}

// asked finds the group that a request is about; it answers itself when there is none.
func (n *Node) asked(w http.ResponseWriter, r *http.Request) *Group {
	id, err := strconv.ParseUint(r.FormValue("group"), 10, 32)
	n.mu.Lock()
	g := n.mu.groups[id]
	n.mu.Unlock()
	if err != nil || g == nil || !g.running.Load() {
		http.Error(w, fmt.Sprintf("member %d does not take part in group %q", n.member,
			r.FormValue("group")), http.StatusConflict)
		return nil
	}
	return g
}

func (n *Node) serveState(w http.ResponseWriter, r *http.Request) {
	if g := n.asked(w, r); g != nil {
		peer, _ := wire.Peer(r.Context())
		if err := g.state.Give(r.Context(), peer.Member, w); err != nil {
			n.opts.Logf("giving the state of group %d: %v", g.id, err)
			panic(http.ErrAbortHandler) // so that the other side sees it cut off
		}
	}
}

func (n *Node) serveFetch(w http.ResponseWriter, r *http.Request) {
	g := n.asked(w, r)
	if g == nil {
		return
	}
	from, err := strconv.ParseUint(r.FormValue("from"), 10, 16)
	index, err2 := strconv.ParseUint(r.FormValue("index"), 10, 64)
	term, _ := strconv.ParseUint(r.FormValue("term"), 10, 64) // older programs do not send it
	if err = errors.Join(err, err2); err == nil {
		err = g.fetch(r.Context(), uint16(from), index, term)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// maxProposal bounds a forwarded proposal in octets.
const maxProposal = 8 << 20

func (n *Node) servePropose(w http.ResponseWriter, r *http.Request) {
	g := n.asked(w, r)
	if g == nil {
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxProposal))
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	data, parts, err := splitProposal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	codec, ok := g.fsm.sm.(ResultCodec)
	if !ok {
		http.Error(w, "this group takes no forwarded proposals", http.StatusConflict)
		return
	}
	if c, ok := g.fsm.sm.(Checker); ok {
		if err := c.CheckForwarded(data, parts); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
	}
	result, err := g.Propose(r.Context(), data, parts)
	switch {
	case errors.Is(err, ErrRefused):
		http.Error(w, err.Error(), http.StatusConflict)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		w.Write(codec.AppendResult(nil, result))
	}
}

func (n *Node) serveTransfer(w http.ResponseWriter, r *http.Request) {
	g := n.asked(w, r)
	if g == nil {
		return
	}
	to, err := strconv.ParseUint(r.FormValue("to"), 10, 16)
	if err == nil {
		err = g.Transfer(r.Context(), uint16(to))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
	}
}

// Answer is what a member answered instead of doing what it was asked, as an error.
type Answer struct {
	Status int // of HTTP
	Text   string
}

func (e *Answer) Error() string { return e.Text }

// Call makes a request to another member's Handler, or to what else is served beside it, and gives
// the answer's body to read, when that is set. An answer other than 200 is an *Answer. A nil body
// is none. Safe for use by several goroutines.
func (n *Node) Call(
	ctx context.Context, member uint16, method, path string, body io.Reader,
	read func(io.Reader) error,
) error {
	if n.port == nil {
		return errors.New("this node has no port to reach other members")
	}
	return CallThrough(ctx, n.port, member, method, path, body, read)
}

// Ask makes a request with JSON, both ways, to another member: body and into may be nil.
func (n *Node) Ask(
	ctx context.Context, member uint16, method, path string, body, into any,
) error {
	var content bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&content).Encode(body); err != nil {
			return err
		}
	}
	var read func(io.Reader) error
	if into != nil {
		read = func(r io.Reader) error {
			return json.NewDecoder(io.LimitReader(r, maxJSON)).Decode(into)
		}
	}
	if err := n.Call(ctx, member, method, path, &content, read); err != nil {
		return fmt.Errorf("member %d: %w", member, err)
	}
	return nil
}

// maxJSON is how much of another member's JSON is read.
const maxJSON = 8 << 20

// CallThrough does the same as Call through a port that no node has, as of a recovery that asks
// before it changes anything.
func CallThrough(
	ctx context.Context, port *wire.Port, member uint16, method, path string, body io.Reader,
	read func(io.Reader) error,
) error {
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("http://%d%s", member, path),
		body)
	if err != nil {
		return err
	}
	resp, err := port.Client().Do(req)
	if err != nil {
		var of *url.Error
		if errors.As(err, &of) { // its URL is no address that anybody could look at
			err = of.Err
		}
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		return &Answer{resp.StatusCode, strings.TrimSpace(string(text))}
	}
	if read != nil {
		if err := read(resp.Body); err != nil {
			return err
		}
	}
	// else the connection is not used again, and the next call shakes hands anew
	io.Copy(io.Discard, io.LimitReader(resp.Body, maxRest))
	return nil
}

// maxRest is how much of an answer that nobody asks for is read.
const maxRest = 64 << 10

// Forward proposes at whoever leads the group: this node, or the member that it knows as the
// leader. Errors are as Propose's.
func (g *Group) Forward(ctx context.Context, data []byte, parts [][]byte) (any, error) {
	if g.leading.Load() != 0 {
		return g.Propose(ctx, data, parts)
	}
	leader, ok := g.Leader()
	if !ok || leader == g.node.member {
		return nil, fmt.Errorf("%w: group %d has no leader now", ErrRefused, g.id)
	}
	return g.node.ProposeAt(ctx, leader, g.id, g.fsm.sm.(ResultCodec).ParseResult, data, parts)
}

// ProposeAt proposes to a group at another member, which leads it or refuses; this node need not
// take part in the group. parse reads the result. Errors are as Propose's.
func (n *Node) ProposeAt(
	ctx context.Context, member uint16, group uint64, parse func([]byte) (any, error), data []byte,
	parts [][]byte,
) (result any, err error) {
	ctx, cancel := context.WithTimeout(ctx, n.opts.ProposeTimeout)
	defer cancel()
	body := bytes.NewReader(joinProposal(data, parts))
	err = n.Call(ctx, member, http.MethodPost, fmt.Sprintf("/cluster/propose?group=%d", group),
		body, func(r io.Reader) error {
			b, err := io.ReadAll(io.LimitReader(r, maxProposal))
			if err == nil {
				result, err = parse(b)
			}
			return err
		})
	var answer *Answer
	if errors.As(err, &answer) && answer.Status == http.StatusConflict {
		return nil, fmt.Errorf("%w by member %d: %w", ErrRefused, member, err)
	}
	if err != nil {
		return nil, fmt.Errorf("propose to group %d at member %d: %w", group, member, err)
	}
	return result, nil
}

// AskLeadership asks whoever leads the group to hand it over to this node.
func (g *Group) AskLeadership(ctx context.Context) error {
	leader, ok := g.Leader()
	if !ok || leader == g.node.member {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	return g.node.Call(ctx, leader, http.MethodPost, fmt.Sprintf("/cluster/transfer?group=%d&to=%s",
		g.id, g.self()), nil, nil)
}

// A forwarded proposal: length and octets of the data, then of each part.
func joinProposal(data []byte, parts [][]byte) []byte {
	b := append(binary.AppendUvarint(nil, uint64(len(data))), data...)
	for _, p := range parts {
		b = append(binary.AppendUvarint(b, uint64(len(p))), p...)
	}
	return b
}

var errBadProposal = errors.New("malformed proposal")

func splitProposal(b []byte) (data []byte, parts [][]byte, err error) {
	for first := true; first || len(b) > 0; first = false {
		n, w := binary.Uvarint(b)
		if w <= 0 || n > uint64(len(b)-w) {
			return nil, nil, errBadProposal
		}
		piece := b[w : w+int(n) : w+int(n)]
		b = b[w+int(n):]
		if first {
			data = piece
		} else {
			parts = append(parts, piece)
		}
	}
	return data, parts, nil
}
