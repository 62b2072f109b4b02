package crash

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
)

// A content carries its own check: number, then noise, then the SHA-256 of what is before. So a
// message that was under way at the crash can be checked as well as an acknowledged one.
func content(number uint64, size int, rnd *rand.ChaCha8) []byte {
	b := make([]byte, max(size, 40))
	rnd.Read(b)
	binary.BigEndian.PutUint64(b, number)
	sum := sha256.Sum256(b[:len(b)-sha256.Size])
	copy(b[len(b)-sha256.Size:], sum[:])
	return b
}

func intact(b []byte) (number uint64, ok bool) {
	if len(b) < 40 {
		return 0, false
	}
	sum := sha256.Sum256(b[:len(b)-sha256.Size])
	return binary.BigEndian.Uint64(b), [32]byte(b[len(b)-sha256.Size:]) == sum
}

// load submits and settles mail and knows what was promised.
type load struct {
	t       *testing.T
	q       *queue.Queue
	stopped chan struct{}
	workers sync.WaitGroup
	// read-held by a worker for one message; held while a clone is looked at, which needs the
	// processor
	gate sync.RWMutex
	mu   struct {
		sync.Mutex
		next    uint64
		acked   map[mail.ID]promise
		settled map[mail.ID]bool // handed to Settle; they may be there or not
	}
}

// promise is what an acknowledged message must still be.
type promise struct {
	number     uint64
	recipients int
}

// backlog is how many acknowledged messages are kept; beyond it others are settled.
const backlog = 100

func newLoad(t *testing.T, q *queue.Queue, from *load) *load {
	l := &load{t: t, q: q, stopped: make(chan struct{})}
	l.mu.acked, l.mu.settled = make(map[mail.ID]promise), make(map[mail.ID]bool)
	if from != nil {
		l.mu.next, l.mu.acked, l.mu.settled = from.mu.next, from.mu.acked, from.mu.settled
	}
	return l
}

func (l *load) run(workers int, seed uint64) {
	for w := range workers {
		l.workers.Go(func() { l.work(seed<<8 + uint64(w)) })
	}
}

func (l *load) stop() {
	close(l.stopped)
	l.workers.Wait()
}

func (l *load) work(seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 7))
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	noise := rand.NewChaCha8(key)
	for {
		select {
		case <-l.stopped:
			return
		default:
		}
		l.gate.RLock()
		l.send(rnd, noise)
		l.settle(rnd)
		l.gate.RUnlock()
	}
}

func size(rnd *rand.Rand) int {
	switch n := rnd.IntN(100); {
	case n < 2:
		return 1<<20 + rnd.IntN(2<<20) // in chunks
	case n < 20:
		return rnd.IntN(300 << 10)
	}
	return rnd.IntN(8 << 10)
}

func (l *load) send(rnd *rand.Rand, noise *rand.ChaCha8) {
	l.mu.Lock()
	l.mu.next++
	number := l.mu.next
	l.mu.Unlock()
	env := &mail.Envelope{Sender: fmt.Sprintf("s%d@example.net", number)}
	for i := range 1 + rnd.IntN(3)*rnd.IntN(2) {
		domain := fmt.Sprintf("d%d.example", rnd.IntN(4))
		env.Recipients = append(env.Recipients,
			mail.Recipient{Address: fmt.Sprintf("r%d@%s", i, domain), Domain: domain})
	}
	b := content(number, size(rnd), noise)
	done := make(chan struct{})
	l.q.Submit(env, &mail.Content{Chunks: [][]byte{b}, Size: int64(len(b))},
		func(id mail.ID, f *smtp.Failure) {
			if f == nil {
				l.mu.Lock()
				l.mu.acked[id] = promise{number, len(env.Recipients)}
				l.mu.Unlock()
			}
			close(done)
		})
	<-done
}

// settle gives outcomes for some message: the last ones when there are many, else its first
// recipient is deferred.
func (l *load) settle(rnd *rand.Rand) {
	l.mu.Lock()
	var id mail.ID
	var p promise
	for id, p = range l.mu.acked {
		break
	}
	many := len(l.mu.acked) > backlog
	if many {
		delete(l.mu.acked, id)
		l.mu.settled[id] = true
	}
	l.mu.Unlock()
	if id.IsZero() {
		return
	}
	a := mail.Attempt{At: time.Now(), Code: 451, Enhanced: "4.7.1", Text: "try again later"}
	outcomes := []queue.Outcome{{ID: id, State: queue.Deferred, Due: time.Now().Add(time.Hour),
		Attempt: a}}
	for n := range p.recipients {
		if many {
			outcomes = append(outcomes[:n], queue.Outcome{ID: id, Recipient: uint32(n),
				State: queue.Relayed, Attempt: a})
		}
	}
	done := make(chan struct{})
	l.q.Settle(outcomes, func(error) { close(done) })
	<-done
}

// promises returns what must be there after a crash from now on. Call forgive after the crash for
// what need not.
func (l *load) promises() map[mail.ID]promise {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := make(map[mail.ID]promise, len(l.mu.acked))
	for id, p := range l.mu.acked {
		m[id] = p
	}
	return m
}

func (l *load) forgive(m map[mail.ID]promise) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.mu.settled {
		delete(m, id)
	}
}
