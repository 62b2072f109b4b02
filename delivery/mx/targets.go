package mx

import "slices"

func (r *Route) targets(n int, shuffle func(int, func(i, j int))) []Target {
	if n <= 0 {
		n = DefaultTargets
	}
	hosts := append(make([]Host, 0, len(r.Hosts)), r.Hosts...)
	shuffleEqual(hosts, func(h Host) uint16 { return h.Pref }, shuffle)
	return pick(hosts, n)
}

// After is Targets for the hosts beside and behind the first of those that were asked, without any
// of them.
func (r *Route) After(asked []string, n int) []Target {
	others := Route{Hosts: make([]Host, 0, len(r.Hosts))}
	least := uint16(0)
	for _, h := range r.Hosts {
		if h.Name == asked[0] {
			least = h.Pref
		}
	}
	for _, h := range r.Hosts {
		if h.Pref >= least && !slices.Contains(asked, h.Name) {
			others.Hosts = append(others.Hosts, h)
		}
	}
	return others.Targets(n)
}

// pick takes some addresses of each host, then more of each, and so on until there are n, and
// returns them in the order of hosts. A host with both families gives one of each at a time: the
// way by one of them may be broken.
func pick(hosts []Host, n int) []Target {
	take := make([]int, len(hosts))
	for left, before := n, -1; left > 0 && left != before; {
		before = left
		for i := range hosts {
			left -= takeSome(hosts[i], &take[i], left)
		}
	}
	ts := make([]Target, 0, n)
	for i, h := range hosts {
		for _, a := range h.Addrs[:take[i]] {
			ts = append(ts, Target{Name: h.Name, Addr: a})
		}
	}
	return ts
}

func takeSome(h Host, taken *int, left int) (n int) {
	from := *taken
	rest := h.Addrs[from:]
	switch {
	case left == 0 || len(rest) == 0:
		return 0
	case left > 1 && len(rest) > 1 && rest[0].Is4() != rest[1].Is4():
		n = 2
	default:
		n = 1
	}
	*taken += n
	return n
}
