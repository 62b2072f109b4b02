package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/files"
	"github.com/postroad/postroad/operate/admin/api"
)

const (
	// seekPause is the time between two rounds of questions.
	seekPause = 200 * time.Millisecond
	// questionTime bounds one round: who does not answer must not keep the others waiting.
	questionTime = 3 * time.Second
)

// Seeker is a node with an empty data directory and a list of nodes, which becomes a member of the
// cluster that these know. The first of the list begins one when all others say that they know
// none.
type Seeker struct {
	Listed    []string // where the nodes are, this one among them
	Advertise string   // where this one is
	DataDir   string
	Notes     Notes
	// Standing asks the node at an address whether it knows a cluster, and Join joins through it; a
	// Joiner does both.
	Standing func(ctx context.Context, address string) (wire.Standing, error)
	Join     func(ctx context.Context, address string) error
	// Told has a value when an operator has said that this node is to begin a cluster.
	Told <-chan struct{}
	// Waits hears what the node waits for.
	Waits func(format string, args ...any)
	Logf  func(format string, args ...any)
}

// Begins reports whether this node is the one that begins the cluster of the list, when nobody
// there knows one.
func (s *Seeker) Begins() bool { return len(s.Listed) > 0 && s.Listed[0] == s.Advertise }

// Others are the other nodes of the list.
func (s *Seeker) Others() []string {
	return slices.DeleteFunc(slices.Clone(s.Listed), func(a string) bool {
		return a == s.Advertise
	})
}

// Seek asks the others, round after round, until this node is a member or is to begin a cluster. It
// tries until then: the others may be starting, or electing a leader. Who is refused for good gives
// up. told: an operator has said that this node is to begin.
func (s *Seeker) Seek(ctx context.Context) (told bool, err error) {
	for logged := false; ; {
		found, err := s.question(ctx)
		for _, address := range found { // one of them may be cut off from the others
			if err = s.Join(ctx, address); err == nil {
				s.Logf("joined the cluster through %s", address)
				return false, nil
			}
			if errors.Is(err, wire.ErrJoinDenied) || api.IsPermanent(err) {
				return false, api.Permanent(err)
			}
		}
		if len(found) == 0 && err == nil {
			if err := s.Notes.MayBegin(); err != nil {
				return false, err // the list may be of others than its cluster's
			}
			s.Logf("none of the others in cluster.join knows a cluster: this node begins one")
			return false, s.forgetJoin() // of a cluster that nobody knows any more
		}
		s.Waits("a cluster to join: %v", err)
		if !logged {
			logged = true
			s.Logf("joining: %v; trying again until it works", err)
		}
		select {
		case <-s.Told:
			s.Logf("this node begins a cluster: an operator has said so")
			return true, errors.Join(s.Notes.Forget(), s.forgetJoin())
		case <-ctx.Done():
			return false, fmt.Errorf(
				"no member of cluster.join lets this node in: %w (the last answer: %w)", ctx.Err(),
				err,
			)
		case <-time.After(seekPause):
		}
	}
}

func (s *Seeker) forgetJoin() error { return files.Remove(joinedPath(s.DataDir)) }

// question asks all others at the same time whether they know a cluster, and returns the addresses
// of those that do. Without any it returns nil when this node is to begin one, or why it has to
// wait.
func (s *Seeker) question(ctx context.Context) (found []string, wait error) {
	ctx, cancel := context.WithTimeout(ctx, questionTime)
	defer cancel()
	others := s.Others()
	answers := make([]wire.Standing, len(others))
	errs := make([]error, len(others))
	var all sync.WaitGroup
	for i, address := range others {
		all.Go(func() { answers[i], errs[i] = s.Standing(ctx, address) })
	}
	all.Wait()
	var words []string
	for i, address := range others {
		switch {
		case errs[i] != nil:
			words = append(words, fmt.Sprintf("%s: %v", address, errs[i]))
		case answers[i].Cluster != "":
			found = append(found, address)
		}
	}
	switch {
	case len(found) > 0 || s.Begins() && len(words) == 0:
		return found, nil
	case s.Begins():
		return nil, fmt.Errorf(
			"this node is the first of cluster.join, "+
				"and begins a cluster when all others have answered that they know none; "+
				"if there is none, `postroad cluster init` here begins one now (%s)",
			strings.Join(words, "; "),
		)
	}
	return nil, fmt.Errorf(
		"nobody in cluster.join knows one yet, and %s is to begin it (%s)",
		s.Listed[0], strings.Join(words, "; "),
	)
}
