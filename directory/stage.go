package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/postroad/postroad/internal/rows"
)

// An import is staged: its users lie in the store under the name of the stage, where nobody sees them, until they are published. Both go by
// batches, so that no command is large, however many users there are. A batch of a publication names the users it moves; what stays behind is
// what somebody made meanwhile.

// Bounds of one command. A user is rarely more than 500 octets.
const (
	maxBatch   = 250
	batchBytes = 256 << 10
)

// stageCommand is about one stage: what to stage, or the names of what to publish or to drop.
type stageCommand struct {
	Stage string   `json:"stage"`
	Users []staged `json:"users,omitempty"`
	Names []string `json:"names,omitempty"`
}

// staged is one user of a stage.
type staged struct {
	User    *User `json:"user"`
	Replace bool  `json:"replace,omitempty"` // a user of that name who is there
}

var keyStaged = []byte("ns") // the number of staged users

func stageKey(stage, name string) []byte { return []byte("s" + stage + "\x00" + name) }

// Batch is what Apply returns for a batch of staged users: how many it moved or dropped, and how many it kept where they are. What else was named had gone before.
type Batch struct {
	Moved, Kept uint8
	Full        bool // there was no place for the others
}

// Err returns the refusal that a batch ended with.
func (b Batch) Err() error {
	if b.Full {
		return ErrFull
	}
	return nil
}

func (d *Directory) applyStage(w rows.Writer, c *stageCommand) Result {
	n := count(w, keyStaged)
	for _, s := range c.Users {
		if s.User == nil {
			continue
		}
		key := stageKey(c.Stage, s.User.Name)
		if _, known := w.Get(key); !known {
			if n >= d.tables[users].limit {
				return Full
			}
			n++
			setCount(w, keyStaged, n)
		}
		w.Set(key, encodeRecord(s))
	}
	return Done
}

// applyPublish moves staged users to the users. One whose name is taken stays where it is.
func (d *Directory) applyPublish(w rows.Writer, index uint64, c *stageCommand) (b Batch) {
	t := d.tables[users]
	for _, name := range c.Names {
		row, ok := w.Get(stageKey(c.Stage, name))
		if !ok {
			continue // published before
		}
		var s staged
		if err := decodeRecord(row, &s); err != nil || s.User == nil {
			panic(fmt.Sprintf("directory: entry %d: staged user %q cannot be read: %v", index, name, err))
		}
		r := d.applyPut(w, index, t, s.User, true)
		if r == Exists && s.Replace {
			r = d.applyPut(w, index, t, s.User, false)
		}
		switch r {
		case Done:
			d.dropStaged(w, c.Stage, name)
			b.Moved++
		case Full:
			b.Full = true
			return b
		default:
			b.Kept++
		}
	}
	return b
}

func (d *Directory) applyUnstage(w rows.Writer, c *stageCommand) (b Batch) {
	for _, name := range c.Names {
		if _, ok := w.Get(stageKey(c.Stage, name)); ok {
			d.dropStaged(w, c.Stage, name)
			b.Moved++
		}
	}
	return b
}

func (d *Directory) dropStaged(w rows.Writer, stage, name string) {
	w.Delete(stageKey(stage, name))
	setCount(w, keyStaged, count(w, keyStaged)-1)
}

// Stage is what a listing says of one.
type Stage struct {
	Name  string
	Users int
}

// Stages lists the stages.
func (d *Directory) Stages() (all []Stage, err error) {
	r := d.rows()
	if r == nil {
		return nil, nil
	}
	err = r.Scan([]byte("s"), []byte{'s' + 1}, func(k, _ []byte) bool {
		stage, _, _ := strings.Cut(string(k[1:]), "\x00")
		if len(all) == 0 || all[len(all)-1].Name != stage {
			all = append(all, Stage{Name: stage})
		}
		all[len(all)-1].Users++
		return true
	})
	return all, err
}

// staged returns up to maxBatch names of a stage above after.
func (d *Directory) staged(stage, after string) (names []string, err error) {
	r := d.rows()
	if r == nil {
		return nil, nil
	}
	from := stageKey(stage, after)
	if after != "" {
		from = append(from, 0)
	}
	prefix := len(stageKey(stage, ""))
	err = r.Scan(from, []byte("s"+stage+"\x01"), func(k, _ []byte) bool {
		names = append(names, string(k[prefix:]))
		return len(names) < maxBatch
	})
	return names, err
}

// Imported is a user to be staged. Either Password or Hash or Scram says how they log in, or none.
type Imported struct {
	Name     string
	Hash     string // as ParseHash took it
	Scram    *Scram
	Settings Settings
	Source   string // see User
}

// Refused is one imported user that cannot be staged.
type Refused struct {
	Number int // in the batch
	Why    error
}

// ErrNoStage is what there is when nothing was staged.
var ErrNoStage = errors.New("nothing is staged under that name")

// Stage puts users aside. Those it refuses are named; all others are staged. With replace they are to take the places of users of the same names.
func (e *Editor) Stage(ctx context.Context, stage string, batch []Imported, replace bool) (refused []Refused, err error) {
	if err := checkStage(stage); err != nil {
		return nil, err
	}
	all := newFlight(ctx)
	var next []staged
	size := 0
	send := func() {
		c := stageCommand{Stage: stage, Users: next}
		next, size = nil, 0
		all.do(func(ctx context.Context) error { return e.propose(ctx, cmdStage, c) })
	}
	for i := range batch {
		u, err := e.imported(&batch[i], replace)
		if err != nil {
			refused = append(refused, Refused{i, err})
			continue
		}
		next = append(next, staged{u, replace})
		if size += u.weight(); len(next) == maxBatch || size >= batchBytes {
			send()
		}
	}
	if len(next) > 0 {
		send()
	}
	return refused, all.wait()
}

// weight is how many octets a user takes in a command, about.
func (u *User) weight() int {
	n := 400 + len(u.Name) + len(u.Hash)
	for _, address := range slices.Concat(u.Senders, u.Forward) {
		n += len(address) + 3
	}
	return n
}

func checkStage(stage string) error {
	ok := len(stage) > 0 && len(stage) <= 64
	for _, r := range stage {
		ok = ok && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r))
	}
	if !ok {
		return wrongf("a stage's name has 1 to 64 letters, digits, dots, hyphens and underscores")
	}
	return nil
}

// imported makes the user that a row of an import describes.
func (e *Editor) imported(i *Imported, replace bool) (*User, error) {
	name, err := Canonical(i.Name)
	if err != nil {
		return nil, err
	}
	now := e.Now().UTC()
	u := &User{Name: name, Hash: i.Hash, Scram: i.Scram, Source: i.Source, Created: now, Changed: now}
	known, ok := e.Directory.Get(name)
	switch {
	case ok && (!replace || known.Source != i.Source):
		return nil, ErrExists
	case ok:
		u.Created = known.Created
	}
	if _, ok := e.Directory.Alias(name); ok {
		return nil, ErrAliasExists
	}
	return u, u.configure(i.Settings)
}

// Publish makes the users of a stage visible, batch by batch, and tells progress how many are. kept are those that stay staged because somebody has made a user or
// an alias of their names meanwhile. After an error Publish goes on where it was when it is called again.
func (e *Editor) Publish(ctx context.Context, stage string, progress func(n int)) (published, kept int, err error) {
	return e.eachStaged(ctx, stage, cmdPublish, progress)
}

// Discard drops a stage.
func (e *Editor) Discard(ctx context.Context, stage string, progress func(n int)) (dropped int, err error) {
	dropped, _, err = e.eachStaged(ctx, stage, cmdUnstage, progress)
	return dropped, err
}

// eachStaged proposes a command for each batch of a stage's names. The names come from this member's rows, which may be behind by a moment.
func (e *Editor) eachStaged(ctx context.Context, stage string, kind commandType, progress func(n int)) (done, kept int, err error) {
	var mu sync.Mutex
	all := newFlight(ctx)
	after, seen := "", false
	for all.ctx.Err() == nil {
		names, err := e.Directory.staged(stage, after)
		if err != nil {
			return done, kept, errors.Join(all.wait(), fmt.Errorf("reading the stage: %w", err))
		}
		if len(names) == 0 {
			break
		}
		after, seen = names[len(names)-1], true
		all.do(func(ctx context.Context) error {
			b, err := e.proposeBatch(ctx, kind, stageCommand{Stage: stage, Names: names})
			mu.Lock()
			defer mu.Unlock()
			done, kept = done+int(b.Moved), kept+int(b.Kept)
			if progress != nil {
				progress(done + kept)
			}
			return err
		})
	}
	if err := all.wait(); err != nil {
		return done, kept, err
	}
	if !seen {
		return 0, 0, ErrNoStage
	}
	return done, kept, nil
}

// batchesInFlight is how many commands of one import are on their way at a time: the log takes them together.
const batchesInFlight = 8

// flight is some proposals on their way. The first that fails ends all.
type flight struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	places chan struct{}
	flying sync.WaitGroup
}

func newFlight(ctx context.Context) *flight {
	f := &flight{places: make(chan struct{}, batchesInFlight)}
	f.ctx, f.cancel = context.WithCancelCause(ctx)
	return f
}

// do waits for a place and runs propose.
func (f *flight) do(propose func(context.Context) error) {
	select {
	case f.places <- struct{}{}:
	case <-f.ctx.Done():
		return
	}
	f.flying.Go(func() {
		defer func() { <-f.places }()
		if err := propose(f.ctx); err != nil {
			f.cancel(err)
		}
	})
}

// wait waits for all and returns why not all were made.
func (f *flight) wait() error {
	f.flying.Wait()
	err := context.Cause(f.ctx)
	f.cancel(nil)
	return err
}
