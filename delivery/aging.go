package delivery

func (s *Scheduler) sweepAges() {}
