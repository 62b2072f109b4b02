package delivery

// Reporter makes the reports that are due.
type Reporter struct{}

func NewReporter(o *Options, q Queue) *Reporter { return &Reporter{} }
func (r *Reporter) Start()                      {}
func (r *Reporter) Stop()                       {}
