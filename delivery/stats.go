package delivery

// counters are what the core counts.
type counters struct {
	attempts, connected, connectFailed uint64
	sites                              map[string]*siteStats
	other                              siteStats
	max                                int
}

// siteStats are counted per site, for as many sites as have labels.
type siteStats struct {
	delivered, deferred, failed uint64
}

func (s *counters) init(o *Options) {
	s.sites, s.max = map[string]*siteStats{}, o.SiteLabels
}

func (s *counters) site(name string) *siteStats {
	if st := s.sites[name]; st != nil {
		return st
	}
	if len(s.sites) >= s.max {
		return &s.other
	}
	st := &siteStats{}
	s.sites[name] = st
	return st
}
