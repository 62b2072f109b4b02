package mx

func (r *Route) targets(n int, shuffle func(int, func(i, j int))) []Target {
	if n <= 0 {
		n = DefaultTargets
	}
	hosts := append(make([]Host, 0, len(r.Hosts)), r.Hosts...)
	for i := 0; i < len(hosts); {
		j := i + 1
		for j < len(hosts) && hosts[j].Pref == hosts[i].Pref {
			j++
		}
		same := hosts[i:j]
		shuffle(len(same), func(a, b int) { same[a], same[b] = same[b], same[a] })
		i = j
	}
	return pick(hosts, n)
}

// pick takes one address of each host, then a second of each, and so on until there are n, and returns them in the order of hosts.
func pick(hosts []Host, n int) []Target {
	take := make([]int, len(hosts))
	for round, left := 0, n; left > 0; round++ {
		before := left
		for i := range hosts {
			if left > 0 && round < len(hosts[i].Addrs) {
				take[i]++
				left--
			}
		}
		if left == before {
			break
		}
	}
	var ts []Target
	for i, h := range hosts {
		for _, a := range h.Addrs[:take[i]] {
			ts = append(ts, Target{Name: h.Name, Addr: a})
		}
	}
	return ts
}
