package kit

import (
	"sync"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// Refusing is a receiving server that takes nothing until it is told to.
type Refusing struct {
	mu    sync.Mutex
	takes bool
}

// Step is the receiving server's hook.
func (f *Refusing) Step(s *mailtest.Step) mailtest.Action {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.At == mailtest.AtRcpt && !f.takes {
		return mailtest.Action{Reply: "451 4.3.0 not now"}
	}
	return mailtest.Action{}
}

// Take has everything taken from now on.
func (f *Refusing) Take() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.takes = true
}
