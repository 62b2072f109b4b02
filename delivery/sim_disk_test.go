package delivery

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/postroad/postroad/delivery/mx"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
)

func (s *sim) lookedUp(d *destination) {
	switch n := s.rand.IntN(20); {
	case n == 0:
		s.core.lookedUp(d, nil, smtp.Temp(451, "4.4.3", "no answer"), s.now)
	default:
		site := fmt.Sprint("site", int(d.key.domain[1]-'0')%s.sites)
		s.core.lookedUp(d, &mx.Route{Site: site, Expires: s.now.Add(time.Minute),
			Hosts: []mx.Host{{Name: site, Addrs: []netip.Addr{netip.IPv4Unspecified()}}}}, nil,
			s.now)
	}
}

func (s *sim) domains(after string, limit int) (found []queue.DomainDue) {
	for d, rows := range s.disk {
		if d > after && len(rows) > 0 {
			found = append(found, queue.DomainDue{Domain: d, Due: rows[0].Due})
		}
	}
	slices.SortFunc(found, func(a, b queue.DomainDue) int {
		return cmp.Compare(a.Domain, b.Domain)
	})
	return found[:min(limit, len(found))]
}

func (s *sim) load(a *action) (r loadResult) {
	r.cursor = a.after
	for _, it := range s.disk[a.dest.key.domain] {
		k := rowOf(&it)
		switch {
		case !a.after.before(k):
		case it.Due.After(a.until):
			r.next = it.Due
			return r
		case len(r.items) == a.max:
			r.more = true
			return r
		default:
			it.Recipients = slices.Clone(it.Recipients)
			r.items = append(r.items, it)
			r.cursor = k
		}
	}
	return r
}

// write puts a row on disk, joined with one that has its key.
func (s *sim) write(it queue.Item) {
	for _, n := range it.Recipients {
		s.rows[attemptKey{it.Message.ID, n}] = rowOf(&it)
	}
	rows := s.disk[it.Domain]
	i, there := slices.BinarySearchFunc(rows, rowOf(&it), func(x queue.Item, k row) int {
		switch x := rowOf(&x); {
		case x == k:
			return 0
		case x.before(k):
			return -1
		}
		return 1
	})
	if there {
		rows[i].Recipients = append(slices.Clone(rows[i].Recipients), it.Recipients...)
		slices.Sort(rows[i].Recipients)
		return
	}
	s.disk[it.Domain] = slices.Insert(rows, i, it)
}

// erase takes a recipient out of its row, wherever that is; message is nil when it is in none.
func (s *sim) erase(domain string, k attemptKey) (message *queue.Message) {
	at, ok := s.rows[k]
	if !ok {
		return nil
	}
	delete(s.rows, k)
	rows := s.disk[domain]
	for i := range rows {
		if rowOf(&rows[i]) == at {
			message = rows[i].Message
			rest := slices.DeleteFunc(slices.Clone(rows[i].Recipients),
				func(n uint32) bool { return n == k.number })
			if rows[i].Recipients = rest; len(rest) == 0 {
				s.disk[domain] = slices.Delete(slices.Clone(rows), i, i+1)
			}
			return message
		}
	}
	s.t.Fatalf("seed %d: the row of %v in %s is not there", s.seed, k, domain)
	return nil
}

func (s *sim) done(k attemptKey) {
	s.state[k] = simDone
	s.delivered++
}
