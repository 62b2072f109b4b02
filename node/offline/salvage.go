package offline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/datadir"
	"github.com/postroad/postroad/operate/admin/api"
)

// Mail that a stopped node alone has, because its cluster went on without it (taken_back.go), is
// put in again, offline: the messages of its queue groups go into the living cluster, those of
// mailboxes into files. Only when all of a group is safe does the node give its copy of that group
// up; its next start takes the cluster's. Each step is noted in its store: the command may be
// killed at any time, and is run again.

// salvagePatience is how long it waits for members of the living cluster, and for a group to have
// an owner.
const salvagePatience = 45 * time.Second

// SalvageOptions are the command's.
type SalvageOptions struct {
	List bool   // only say what would be done
	To   string // where a member is reached, if the addresses known here are old
	Save string // where contents of mailboxes go; "": below the data directory
}

type salvager struct {
	SalvageOptions
	cfg    *config.Config
	self   wire.Identity
	store  *cluster.Node
	own    *control.State // as this node had it last
	book   *member.AddressBook
	living takers
	print  func(line string) // what is salvaged, a line each
	tell   func(line string) // what is to be said of it

	mu struct {
		sync.Mutex
		addresses map[uint16]string // as a living member told them
	}
	took       uint16 // the member that took the last proposal
	put, saved int
}

// Salvage salvages what the stopped node of cfg alone has.
func Salvage(
	ctx context.Context,
	cfg *config.Config,
	o SalvageOptions,
	print, tell func(string),
) error {
	creds, err := credentialsOf(cfg)
	if err != nil {
		return err
	}
	self, err := creds.Identity()
	if err != nil {
		return err
	}
	book, err := member.OpenAddresses(datadir.Cluster(cfg.Node.DataDir))
	if err != nil {
		return err
	}
	if o.Save == "" {
		o.Save = filepath.Join(cfg.Node.DataDir, "salvaged")
	}
	store, err := cluster.Open(
		cluster.Options{
			Dir:  cfg.Node.DataDir,
			Logf: func(f string, a ...any) { tell(fmt.Sprintf(f, a...)) },
		},
	)
	if err != nil {
		return err
	}
	s := &salvager{
		SalvageOptions: o,
		cfg:            cfg,
		self:           self,
		store:          store,
		own:            control.New(),
		book:           book,
		print:          print,
		tell:           tell,
	}
	port, err := wire.New(wire.Options{
		Credentials: creds, Self: self, Address: s.addressOf,
		Dial: member.DialFrom(cfg.Cluster.Listen),
	})
	if err == nil {
		store.Connect(port)
		err = errors.Join(s.run(ctx), port.Close())
	}
	return errors.Join(err, store.Close())
}

func (s *salvager) run(ctx context.Context) error {
	stopped, err := s.store.TakenBack()
	if err != nil {
		return err
	}
	if len(stopped) == 0 {
		s.tell(
			"nothing is to be salvaged: this node has nothing that its cluster gave up, as far " +
				"as it knows",
		)
		return nil
	}
	if err := s.own.Load(s.store.Group(cluster.ControlGroup)); err != nil {
		return err
	}
	reached := s.meet(ctx)
	if reached != nil && !s.List {
		return reached
	}
	if reached != nil {
		s.tell(
			"no node of the cluster answers, so what is listed is what was known when this node " +
				"stopped: " + reached.Error(),
		)
	}
	if reached == nil {
		more, err := s.unmet(ctx, stopped)
		if err != nil {
			return err
		}
		stopped = append(stopped, more...)
	}
	var parts []*parted
	for _, e := range stopped {
		p, err := s.part(ctx, e)
		if err == nil {
			err = s.salvage(ctx, p)
		}
		if err != nil {
			return err
		}
		parts = append(parts, p)
	}
	if s.List {
		s.tell(
			fmt.Sprintf(
				"%s would be put in again, %s of mailboxes written to files; nothing was changed",
				cli.Number(int64(s.put), "message"),
				cli.Number(int64(s.saved), "message"),
			),
		)
		return nil
	}
	for _, p := range parts {
		if err := s.store.Group(p.Group).GiveUp(p.note.From); err != nil {
			return fmt.Errorf("give up what group %d was here: %w", p.Group, err)
		}
	}
	s.tell(
		fmt.Sprintf(
			"%s put in again, marked as possible duplicates; %s of mailboxes written to files; "+
				"start this node: it takes over what the cluster has",
			cli.Number(int64(s.put), "message"),
			cli.Number(int64(s.saved), "message"),
		),
	)
	return nil
}

// unmet looks for groups that this node had not met when it stopped, and that have gone on without
// what it has, too. One that has no leader just now is met at the next start.
func (s *salvager) unmet(
	ctx context.Context,
	met []*cluster.TakenBack,
) (more []*cluster.TakenBack, err error) {
	for _, id := range s.store.GroupIDs() {
		if slices.ContainsFunc(met, func(e *cluster.TakenBack) bool { return e.Group == id }) {
			continue
		}
		group := s.store.Group(id)
		leader, _ := group.LeadersTerms(ctx, s.members())
		if leader == nil {
			s.tell(
				s.name(id) +
					" has no leader that answers now: whether the cluster lacks something " +
					"of it, the next start of this node finds out",
			)
			continue
		}
		e, err := group.LackedBy(leader)
		if err == nil && e != nil {
			more, err = append(more, e), group.NoteTakenBack(e)
		}
		if err != nil {
			return nil, err
		}
	}
	return more, nil
}

// parted is a group in which this node has another past than the cluster.
type parted struct {
	*cluster.TakenBack
	group *cluster.Group
	about control.Group
	note  salvageNote
}

// part finds out from which entry on the group's past is another one here, once for all.
func (s *salvager) part(ctx context.Context, e *cluster.TakenBack) (*parted, error) {
	p := &parted{TakenBack: e, group: s.store.Group(e.Group)}
	p.about = s.about(e.Group)
	text, err := p.group.Salvage()
	if err == nil && len(text) > 0 {
		err = json.Unmarshal(text, &p.note)
	}
	if err != nil {
		return nil, fmt.Errorf("how far the salvage of group %d is: %w", e.Group, err)
	}
	if err := p.group.Unrolled(s.machine(p)); err != nil {
		return nil, err
	}
	if p.note.From > 0 {
		return p, nil
	}
	p.note.From = e.From
	leaders, err := s.leadersTerms(ctx, p)
	switch {
	case leaders != nil:
		ours := p.group.Terms()
		p.note.From = e.Parted(&ours, leaders)
	case !s.List:
		return nil, err
	}
	if s.List {
		return p, nil
	}
	return p, s.keep(p)
}

// leadersTerms asks the group's leader for its past.
func (s *salvager) leadersTerms(ctx context.Context, p *parted) (t *cluster.Terms, err error) {
	err = s.insist(ctx, func() error {
		var unheard error
		if t, unheard = p.group.LeadersTerms(ctx, s.members()); t == nil {
			return errors.Join(fmt.Errorf("%s has no leader that answers", s.name(p.Group)),
				unheard)
		}
		return nil
	})
	return t, err
}

func (s *salvager) keep(p *parted) error {
	text, err := json.Marshal(&p.note)
	if err == nil {
		err = p.group.NoteSalvage(text)
	}
	if err != nil {
		return fmt.Errorf("note how far the salvage of group %d is: %w", p.Group, err)
	}
	return nil
}

// about is a group as the living cluster has it, or as this node had it.
func (s *salvager) about(id uint64) control.Group {
	for _, g := range s.living.Groups {
		if g.ID == id {
			return g
		}
	}
	if g, ok := s.own.Group(id); ok {
		return g
	}
	if id == cluster.ControlGroup {
		return control.Group{ID: id, Kind: control.KindControl}
	}
	return control.Group{ID: id, Kind: control.KindQueue}
}

func (s *salvager) name(group uint64) string {
	about := s.about(group)
	switch about.Kind {
	case control.KindControl:
		return fmt.Sprintf("group %d (users, members and settings)", group)
	case control.KindMailbox:
		return fmt.Sprintf("group %d (mailboxes, shard %d)", group, about.Shard)
	}
	home, known := s.own.Member(about.Home)
	switch {
	case s.living.Names[about.Home] != "":
		home.Name = s.living.Names[about.Home]
	case about.Home == 0: // these rows are older than the group, and nobody answers
		return fmt.Sprintf("group %d (mail)", group)
	case !known:
		home.Name = fmt.Sprintf("member %d", about.Home)
	}
	return fmt.Sprintf("group %d (mail accepted by %s)", group, home.Name)
}

// meet asks members, one after the other, until one tells of the cluster as it is.
func (s *salvager) meet(ctx context.Context) error {
	err := s.insist(ctx, func() error {
		all := errors.New("no node of the cluster answers")
		for _, member := range s.members() {
			var t takers
			err := s.store.Ask(ctx, member, http.MethodGet, TakersPath, nil, &t)
			if err == nil && len(t.Members) > 0 && len(t.Groups) > 0 {
				s.mu.Lock()
				s.mu.addresses = t.Members
				s.mu.Unlock()
				s.living = t
				return nil
			}
			var old *cluster.Answer
			if errors.As(err, &old) && old.Status == http.StatusNotFound {
				err = fmt.Errorf("member %d runs an older version: upgrade it first", member)
			}
			if errors.Is(err, wire.ErrFinal) {
				return &api.Error{
					Exit:    api.ExitConfig,
					Message: err.Error(),
					Hint: "its cluster has let this node go, and takes nothing from it; " +
						"`postroad queue salvage --list` says what it has",
				}
			}
			all = errors.Join(all, err)
		}
		return all
	})
	if err == nil && s.living.Refusal != "" {
		return &api.Error{
			Exit:    api.ExitTemporary,
			Message: s.living.Refusal,
			Hint:    "then repeat this command; nothing is lost until then",
		}
	}
	return err
}

// members are all others that this node knows of.
func (s *salvager) members() (all []uint16) {
	s.mu.Lock()
	for id := range s.mu.addresses {
		all = append(all, id)
	}
	s.mu.Unlock()
	if len(all) == 0 {
		for _, m := range s.own.Members() {
			if m.State != control.Removed {
				all = append(all, m.ID)
			}
		}
		all = append(all, s.book.Members()...)
	}
	slices.Sort(all)
	return slices.DeleteFunc(
		slices.Compact(all),
		func(id uint16) bool { return id == s.self.Member },
	)
}

// addressOf finds a member: where a living one says it is, else where the operator said or it was
// last.
func (s *salvager) addressOf(member uint16) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if address := s.mu.addresses[member]; address != "" {
		return address, true
	}
	if s.To != "" && s.mu.addresses == nil {
		return s.To, true
	}
	if m, ok := s.own.Member(member); ok && m.Address != "" {
		return m.Address, true
	}
	address := s.book.Of(member)
	return address, address != ""
}

// insist tries again for a while. What does not come right is for the operator, who repeats the
// command.
func (s *salvager) insist(ctx context.Context, try func() error) error {
	patience := salvagePatience
	if s.List {
		patience = 0
	}
	for until := time.Now().Add(patience); ; {
		err := try()
		var words *api.Error
		if err == nil || errors.As(err, &words) {
			return err
		}
		if time.Now().After(until) || !clock.Pause(ctx, 500*time.Millisecond) {
			return &api.Error{
				Exit:    api.ExitTemporary,
				Message: err.Error(),
				Hint: "see that the other nodes run and reach each other (`postroad cluster " +
					"status` " +
					"on one of them), then repeat this command; nothing is lost until then",
			}
		}
	}
}
