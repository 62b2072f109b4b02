package directory

import (
	"slices"
	"sync"
)

// furtherAddresses say whose further addresses (User.Addresses) there are. Read without a lock;
// changed under the Directory's.
type furtherAddresses struct {
	view sync.Map // address -> []string: the names of users, in order, which nobody changes
}

// users are the names of the users who have an address.
func (f *furtherAddresses) users(address string) []string {
	if v, ok := f.view.Load(address); ok {
		return v.([]string)
	}
	return nil
}

// change takes over what became of a user; nil: there was none, or is none any more.
func (f *furtherAddresses) change(old, now *User) {
	if old != nil {
		for _, address := range old.Addresses {
			if now == nil || !slices.Contains(now.Addresses, address) {
				f.set(address, slices.DeleteFunc(slices.Clone(f.users(address)),
					func(name string) bool { return name == old.Name }))
			}
		}
	}
	if now == nil {
		return
	}
	for _, address := range now.Addresses {
		names := f.users(address)
		if at, found := slices.BinarySearch(names, now.Name); !found {
			f.set(address, slices.Insert(slices.Clone(names), at, now.Name))
		}
	}
}

func (f *furtherAddresses) set(address string, names []string) {
	if len(names) == 0 {
		f.view.Delete(address)
		return
	}
	f.view.Store(address, names)
}

// load makes them what the users in a view have.
func (f *furtherAddresses) load(view *sync.Map) {
	all := map[string][]string{}
	view.Range(func(_, v any) bool {
		u := v.(*User)
		for _, address := range u.Addresses {
			all[address] = append(all[address], u.Name)
		}
		return true
	})
	for address, names := range all {
		slices.Sort(names)
		f.set(address, names)
	}
	f.view.Range(func(address, _ any) bool {
		if all[address.(string)] == nil {
			f.view.Delete(address)
		}
		return true
	})
}
