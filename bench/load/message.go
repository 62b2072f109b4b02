package load

// message is one message from its first attempt to its outcome. Times are nanoseconds since the
// start of the load.
type message struct {
	number   int64
	due      int64 // when it was to be sent
	first    int64 // MAIL of the first attempt
	attempts int
	content  content
	rcpts    []recipient
	queueID  []byte
	notUntil int64 // when a further attempt may be made

	connection int // of the last attempt

	// Of the present attempt:
	stage     stage
	begun     int64 // MAIL was sent
	enveloped int64 // the reply was read after which the content may be sent, or with BDAT counts
	dataEnd   int64 // the end of the data was sent
	at        int   // the recipient whose RCPT is to be answered next
	taken     int   // recipients with a 2xx
	failed    int   // the code that refused the whole message; 0 for none
	pos       int   // octets of the content written
	chunkEnd  int   // where the present BDAT chunk ends
	chunks    int   // BDAT chunks written
	answered  int   // and answered
	ended     bool  // the end of the data was written
}

// recipient is what is known of one recipient.
type recipient struct {
	outcome Outcome
	code    uint16
	todo    bool // of the present attempt
	taken   bool // by it: a 2xx at RCPT
}

// stage is which reply an attempt waits for.
type stage uint8

const (
	stageMail stage = iota
	stageRcpt
	stageData
	stageNobody // to the dot after a 354 that came though there is no recipient
	stageChunk  // to a BDAT chunk
	stageEnd    // to the end of the data
)

// begin makes m ready for an attempt to reach those who are not reached yet.
func (m *message) begin(now int64) {
	if m.attempts++; m.attempts == 1 {
		m.first = now
	}
	m.stage, m.begun, m.enveloped, m.dataEnd = stageMail, now, 0, 0
	m.taken, m.failed, m.pos, m.chunkEnd, m.chunks, m.answered, m.ended = 0, 0, 0, 0, 0, 0, false
	for i := range m.rcpts {
		r := &m.rcpts[i]
		r.todo, r.taken = r.outcome == Lost || r.outcome == RefusedForNow, false
		if r.todo {
			r.outcome, r.code = Lost, 0
		}
	}
	m.at = m.next(0)
}

// next returns the first recipient of this attempt from i on, len(rcpts) when there is none.
func (m *message) next(i int) int {
	for i < len(m.rcpts) && !m.rcpts[i].todo {
		i++
	}
	return i
}

// refusal returns the outcome that a code stands for.
func refusal(code int) Outcome {
	if code/100 == 4 {
		return RefusedForNow
	}
	return RefusedForGood
}

// conclude sets the outcome of those whose RCPT was not refused: a code that refused the whole
// message, or else what is given.
func (m *message) conclude(outcome Outcome, code int) {
	if m.failed != 0 {
		outcome, code = refusal(m.failed), m.failed
	}
	for i := range m.rcpts {
		if r := &m.rcpts[i]; r.todo && (r.taken || r.code == 0) {
			r.outcome, r.code = outcome, uint16(code)
		}
	}
}

// outcome returns that of the message: the best that a recipient has, where Unknown is better than
// a refusal.
func (m *message) outcome() Outcome {
	best := Lost
	for i := range m.rcpts {
		if o := m.rcpts[i].outcome; rank[o] > rank[best] {
			best = o
		}
	}
	return best
}

var rank = [...]int{Lost: 0, RefusedForGood: 1, RefusedForNow: 2, Unknown: 3, Accepted: 4}

// again reports whether a further attempt could reach somebody.
func (m *message) again() bool {
	for i := range m.rcpts {
		if o := m.rcpts[i].outcome; o == Lost || o == RefusedForNow {
			return true
		}
	}
	return false
}
