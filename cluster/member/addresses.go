package member

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/internal/files"
	"github.com/postroad/postroad/operate/admin/api"
)

const addressesFile = "addresses.json"

// AddressBook is where the members were found last, in a file. The control state has their
// addresses, but after a crash its newest rows are only in the log, until the control group has a
// leader, and to choose one the members must find each other. A member that is elsewhere now tells
// that before it can be in the state (locator.go). Safe for use by several goroutines.
type AddressBook struct {
	path string

	mu struct {
		sync.Mutex
		known map[uint16]string
	}
}

// OpenAddresses opens the book in a directory; without a file it is empty.
func OpenAddresses(dir string) (*AddressBook, error) {
	b := &AddressBook{path: filepath.Join(dir, addressesFile)}
	text, err := os.ReadFile(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return nil, fmt.Errorf("addresses of the members: %w", err)
	}
	if err := json.Unmarshal(text, &b.mu.known); err != nil {
		return nil, api.Permanent(fmt.Errorf(
			"%s is damaged: %w; remove it, and other members will find this one", b.path, err,
		))
	}
	return b, nil
}

// Of returns where a member was found last, or "".
func (b *AddressBook) Of(member uint16) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.known[member]
}

// Members are those in the book, in ascending order.
func (b *AddressBook) Members() []uint16 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.mu.known))
}

// Keep adds to the book what is new. It forgets nobody: right after a crash the state that now
// comes from may be older than the book. There are no more members than numbers for them, and who
// was removed is let in by nobody.
func (b *AddressBook) Keep(now map[uint16]string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := maps.Clone(b.mu.known)
	if all == nil {
		all = map[uint16]string{}
	}
	maps.Copy(all, now)
	if maps.Equal(all, b.mu.known) {
		return nil
	}
	text, err := json.Marshal(all)
	if err == nil {
		err = files.Replace(b.path, text)
	}
	if err != nil {
		return fmt.Errorf("addresses of the members: %w", err)
	}
	b.mu.known = all
	return nil
}

// Follow takes over where the control state says that the members are: of all when it is known to
// be new, else of those that are not in the book.
func (b *AddressBook) Follow(members []control.Member, fresh bool) error {
	now := map[uint16]string{}
	for _, m := range members {
		if m.Address != "" && (fresh || b.Of(m.ID) == "") {
			now[m.ID] = m.Address
		}
	}
	return b.Keep(now)
}

// Find returns where a member is: the control state has it, unless that may be older than the book.
func (b *AddressBook) Find(member uint16, state *control.State, fresh bool) (string, bool) {
	address := b.Of(member)
	if m, ok := state.Member(member); ok && m.Address != "" && (fresh || address == "") {
		address = m.Address
	}
	return address, address != ""
}

// Known returns the members as the control state has them. After a crash that may be in the log
// only until the control group has a leader, and a node that was removed meanwhile gets none: then
// it returns those that the book has, of whom nothing else is known.
func Known(state *control.State, b *AddressBook) []control.Member {
	all := state.Members()
	if len(all) == 0 {
		for _, id := range b.Members() {
			all = append(all, control.Member{ID: id, State: control.Joining})
		}
	}
	return all
}
