package delivery

import "fmt"

// settings are small limits and some routes, at random.
func (s *sim) settings() Settings {
	shape := func() Shaping {
		return Shaping{Connections: 1 + s.rand.IntN(4), MessagesPerConnection: 1 + s.rand.IntN(9),
			RecipientsPerMessage: 1 + s.rand.IntN(3)}
	}
	o := Settings{Port: uint16(25 + s.rand.IntN(4)/3), Connections: 1 + s.rand.IntN(6),
		Shaping: map[string]Shaping{"default": shape(), LocalSite: shape()}}
	for range s.rand.IntN(3) {
		o.Shaping[fmt.Sprint("d", s.rand.IntN(30))] = shape()
	}
	if s.rand.IntN(2) == 0 {
		return o
	}
	o.Routes = []Route{{Recipient: "*vip*", SmartHost: "hub.test"},
		{Tenant: "t1", SmartHost: "t1.test"}, {Domain: "d1*", SmartHost: "hub.test"},
		{Domain: "d7", SmartHost: "t1.test"}}
	s.rand.Shuffle(len(o.Routes), func(i, j int) {
		o.Routes[i], o.Routes[j] = o.Routes[j], o.Routes[i]
	})
	o.Routes = o.Routes[:1+s.rand.IntN(len(o.Routes))]
	return o
}

// configure puts other settings in force, or has the hosts looked up again.
func (s *sim) configure() {
	if s.rand.IntN(4) == 0 {
		s.core.forgetHosts(newWay(s.t.Context()), s.now)
	} else {
		set, err := s.settings().compile()
		if err != nil {
			s.t.Fatal(err)
		}
		set.way = newWay(s.t.Context())
		s.core.configure(set, s.now)
	}
	s.event()
}

// mustGoBySettings checks that a transaction that begins goes by the settings in force.
func (s *sim) mustGoBySettings(t *transaction) {
	c := s.core
	if t.set != c.set {
		s.t.Fatalf("seed %d: %v goes by other settings than those in force", s.seed, t.message.ID)
	}
	for i := range t.pieces {
		p := &t.pieces[i]
		d := p.e.dest
		for _, n := range t.recipients[p.from:p.to] {
			to := c.routeOf(d.key.domain, t.message.Envelope, n)
			if to != d.key.route || d.gone {
				s.t.Fatalf("seed %d: %v, recipient %d of %v goes by route %d, want %d", s.seed,
					t.message.ID, n, d.key, d.key.route, to)
			}
		}
	}
	if t.conn == nil {
		return
	}
	site := t.conn.site
	if want := c.set.shape(site.own, site.hosts); site.shape != want && site.takes == 0 ||
		len(t.recipients) > want.RecipientsPerMessage ||
		t.conn.sent >= want.MessagesPerConnection || c.outdated(t.conn) {
		s.t.Fatalf("seed %d: site %s has limits %+v, want %+v; %d recipients, %d were sent", s.seed,
			site.name, site.shape, want, len(t.recipients), t.conn.sent)
	}
}
