package member

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/datadir"
	"github.com/postroad/postroad/internal/files"
	"github.com/postroad/postroad/internal/version"
	"github.com/postroad/postroad/operate/admin/api"
)

// How a node with an empty data directory becomes a member: by `postroad cluster join`, or by
// itself with a list of those that it may join (Seek). Each step can be repeated after a crash, and
// ends in one member: the cluster gives the same number to the same name and incarnation.

// Joined is what a node was told when it joined.
type Joined struct {
	Name        string `json:"name"`   // under which it asked
	Member      uint16 `json:"member"` // 0: it has no answer yet
	Incarnation uint64 `json:"incarnation"`
	// Members are the addresses, until the control group tells.
	Members map[uint16]string `json:"members,omitempty"`
}

func joinedPath(dataDir string) string {
	return filepath.Join(datadir.Cluster(dataDir), datadir.JoinedFile)
}

// ReadJoined returns nil when no join was begun, or one has ended long ago.
func ReadJoined(dataDir string) (*Joined, error) {
	file := joinedPath(dataDir)
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	j := new(Joined)
	if err := json.Unmarshal(b, j); err != nil {
		return nil, api.Permanent(
			fmt.Errorf("%s is damaged: %w; empty %s and join again", file, err, dataDir),
		)
	}
	return j, nil
}

func (j *Joined) save(dataDir string) error {
	b, err := json.Marshal(j)
	if err != nil {
		return err
	}
	if err := files.MakeDir(datadir.Cluster(dataDir)); err != nil {
		return err
	}
	return files.Replace(joinedPath(dataDir), b)
}

// Joiner is a node that joins.
type Joiner struct {
	DataDir   string
	Name      string
	Advertise string // where the others are to reach it
	Token     string // with which it is let in
	Dial      wire.DialFunc
	// Prepare looks at what the cluster says of itself, before it hears of this node, which does
	// not join after an error. nil: nobody looks.
	Prepare func(wire.Standing) error
	// Say hears what the operator should know of a join that went well.
	Say func(format string, args ...any)
}

// begin returns who this node is in a join that is repeated, or in a new one. It is written down
// before the cluster hears of it.
func (o Joiner) begin() (*Joined, error) {
	j, err := ReadJoined(o.DataDir)
	if err != nil || j != nil && (j.Name == o.Name || j.Name == "") {
		return j, err
	}
	j = &Joined{Name: o.Name, Incarnation: rand.Uint64() | 1}
	return j, j.save(o.DataDir)
}

// Join makes the empty data directory a member of the cluster that has a node at address.
func (o Joiner) Join(ctx context.Context, address string) error {
	if err := o.mayJoin(); err != nil {
		return err
	}
	// First of all: whatever ends the join now, the node begins no cluster of its own.
	j, err := o.begin()
	if err != nil {
		return err
	}
	if o.Prepare != nil {
		s, err := o.standing(ctx, address, j.Incarnation)
		if err == nil {
			err = o.Prepare(s)
		}
		if err != nil {
			return fmt.Errorf("join at %s: %w", address, err)
		}
	}
	csr, key, err := wire.NewRequest()
	if err != nil {
		return err
	}
	reply, err := wire.RequestJoin(ctx, address, o.Token, wire.JoinRequest{
		Name: o.Name, Advertise: o.Advertise, Version: version.Version, Protocol: control.Protocol,
		Incarnation: j.Incarnation, CSR: csr,
	}, o.Dial)
	if errors.Is(err, wire.ErrJoinDenied) {
		// This incarnation is refused for good, as when another machine has joined under its name.
		// It never ran: the next try is a new one's. That a join was wanted stays: without it the
		// node would begin a cluster of its own, under a name that is taken.
		j.Incarnation = rand.Uint64() | 1
		return errors.Join(err, j.save(o.DataDir))
	}
	if err != nil {
		return err
	}
	j.Name, j.Member, j.Members = o.Name, reply.Member, reply.Members
	if err := j.save(o.DataDir); err != nil {
		return err
	}
	if err := KeepTold(o.DataDir, reply.Known); err != nil {
		return err
	}
	// The certificate is what counts: it is written last.
	creds := wire.Credentials{CA: reply.CA, Cert: reply.Cert, Key: key}
	if err := creds.Save(datadir.Cluster(o.DataDir)); err != nil {
		return err
	}
	if reply.Instead != 0 {
		o.Say("another data directory had joined as %s (member %d), and never ran: this one takes "+
			"its place, and the cluster refuses the other; if that is another machine, give one "+
			"of the two another name, empty its data directory and join again", o.Name,
			reply.Instead)
	}
	return nil
}

// mayJoin refuses to join with a data directory that is not empty.
func (o Joiner) mayJoin() error {
	if used, err := datadir.StoreExists(o.DataDir); err != nil || used {
		return cmp.Or(err, api.Permanent(
			fmt.Errorf("%s belongs to a node that has run, and only an empty data directory can "+
				"join: if it has no mail that you need, stop that node, empty the directory and "+
				"join again", o.DataDir),
		))
	}
	if _, err := wire.LoadCredentials(datadir.Cluster(o.DataDir)); !errors.Is(err, fs.ErrNotExist) {
		return cmp.Or(datadir.Damaged(err), api.Permanent(
			fmt.Errorf("%s has joined a cluster already: start the node, or empty the directory",
				o.DataDir),
		))
	}
	return nil
}

// Standing asks the node at an address whether it knows a cluster.
func (o Joiner) Standing(ctx context.Context, address string) (wire.Standing, error) {
	return o.standing(ctx, address, 0)
}

func (o Joiner) standing(
	ctx context.Context, address string, incarnation uint64,
) (wire.Standing, error) {
	return wire.RequestStanding(ctx, address, o.Token, incarnation, o.Dial)
}

// toldFile is, in the directory of the cluster, which members a node knew last, or of which it was
// told when it joined. When the node starts again the state may be from before.
const toldFile = "told.json"

// KeepTold writes down which members a node knows.
func KeepTold(dataDir string, known []wire.KnownMember) error {
	b, err := json.Marshal(known)
	if err != nil {
		return err
	}
	return files.Replace(filepath.Join(datadir.Cluster(dataDir), toldFile), b)
}

// ReadTold returns what KeepTold kept; none: there were no others yet, or the program was an older
// one.
func ReadTold(dataDir string) (known []wire.KnownMember, err error) {
	file := filepath.Join(datadir.Cluster(dataDir), toldFile)
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		if err = json.Unmarshal(b, &known); err != nil {
			err = api.Permanent(fmt.Errorf("%s is damaged: %w; remove it", file, err))
		}
	}
	return known, err
}
