package mail

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"

	"github.com/postroad/postroad/bench/record"
)

// Generator makes messages. The same Generator makes the same message for the same number, so that
// nothing has to be kept to know later what was sent. It may be used by several goroutines.
type Generator struct {
	Seed    uint64
	Run     string   // tells runs with the same seed apart in the IDs; letters and digits
	Domains []string // of recipients
	From    string   // domain of senders; default "sender.example"

	// every message has this many octets, one recipient and nothing unusual; 0: varied
	Size          int
	MaxSize       int  // of varied messages; default 5 MiB
	MaxRecipients int  // of varied messages; default 5
	NoUTF8        bool // no addresses that need SMTPUTF8
	No8Bit        bool // no content that needs 8BITMIME

	block []byte // lines for messages of a fixed size
	once  sync.Once
}

// Sizes of varied messages.
const (
	smallSize      = 4 << 10
	defaultMaxSize = 5 << 20
)

// Message returns message number i.
func (g *Generator) Message(i int) *Message {
	r := rand.New(rand.NewPCG(g.Seed, uint64(i)))
	m := &Message{ID: fmt.Sprintf("t%s-%x-%d", g.Run, g.Seed, i)}
	from := g.From
	if from == "" {
		from = "sender.example"
	}
	m.Sender = fmt.Sprintf("s%d@%s", i%1000, from)
	shape := g.shape(r, i)
	m.Recipients = g.recipients(r, i, shape)
	m.UTF8 = shape.utf8
	b := &builder{r: r}
	b.header(m, shape)
	shape.body(b, shape.size-4) // leaves room for the end
	b.finish(shape.size)
	m.Content, m.EightBit = b.out, b.eightBit
	m.Sum = record.SumOf(m.Content)
	return m
}

// shape is what is particular about one message.
type shape struct {
	size       int
	recipients int
	utf8       bool
	body       func(*builder, int)
}

// shape chooses. Every kind of body comes in each dozen of messages, so that short runs have them
// all.
func (g *Generator) shape(r *rand.Rand, i int) shape {
	if g.Size > 0 {
		return shape{size: g.Size, recipients: 1, body: func(b *builder, size int) {
			b.cut(g.lines(), i, size)
		}}
	}
	maxSize, maxRecipients := g.MaxSize, g.MaxRecipients
	if maxSize == 0 {
		maxSize = defaultMaxSize
	}
	if maxRecipients == 0 {
		maxRecipients = 5
	}
	s := shape{size: smallSize, recipients: 1 + r.IntN(maxRecipients), body: bodies[i%len(bodies)]}
	if r.IntN(4) > 0 {
		s.recipients = 1
	}
	if r.IntN(10) == 0 { // sizes spread evenly over the orders of magnitude
		s.size = int(smallSize * math.Pow(float64(maxSize)/smallSize, r.Float64()))
	}
	if i%200 == 199 {
		s.size = maxSize
	}
	s.utf8 = !g.NoUTF8 && r.IntN(12) == 0
	if i%len(bodies) == eightBitBody && g.No8Bit {
		s.body = (*builder).text
	}
	return s
}

func (g *Generator) recipients(r *rand.Rand, i int, s shape) []string {
	var rcpts []string
	for n := range s.recipients {
		local := fmt.Sprintf("r%d.%d", i, n)
		if s.utf8 {
			local = "grüße." + local + ".用户"
		}
		rcpts = append(rcpts, local+"@"+g.Domains[r.IntN(len(g.Domains))])
	}
	return rcpts
}

// bodies are the kinds of body.
var bodies = []func(*builder, int){
	(*builder).text, (*builder).dots, (*builder).longLines, (*builder).eightBitText,
	(*builder).emptyLines, (*builder).text,
	(*builder).text, (*builder).dots, (*builder).spaces, (*builder).text, (*builder).fromLines,
	(*builder).text,
}

const eightBitBody = 3 // its place in bodies

// builder writes a message. Its methods named in bodies write whole lines up to a length.
type builder struct {
	r        *rand.Rand
	out      []byte
	eightBit bool
}

func (b *builder) printf(format string, args ...any) { b.out = fmt.Appendf(b.out, format, args...) }

func (b *builder) header(m *Message, s shape) {
	b.printf("%s: %s\r\n", Marker, m.ID)
	b.printf("Date: Thu, 01 Jan 2026 %02d:%02d:%02d +0000\r\n", b.r.IntN(24), b.r.IntN(60),
		b.r.IntN(60))
	b.printf("From: <%s>\r\nTo: undisclosed-recipients:;\r\n", m.Sender)
	b.printf("Message-ID: <%s@test.invalid>\r\n", m.ID)
	b.printf("Subject: message\r\n\t%s folded\r\n over three lines\r\n", m.ID)
	b.printf(
		"MIME-Version: 1.0\r\nContent-Type: text/plain; " +
			"charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
	if s.utf8 {
		b.eightBit = true // such a message may have UTF-8 in its header as well (RFC 6532)
		b.out = append(b.out[:len(b.out)-2], "X-Comment: Grüße, 你好\r\n\r\n"...)
	}
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// line appends n random characters, which do not compress much, and CRLF.
func (b *builder) line(n int) {
	for n > 0 {
		bits := b.r.Uint64()
		for range min(n, 10) {
			b.out = append(b.out, alphabet[bits&63])
			bits >>= 6
			n--
		}
	}
	b.out = append(b.out, "\r\n"...)
}

func (b *builder) text(size int) {
	for len(b.out)+80 < size {
		b.line(76)
	}
}

// dots has lines that begin with a dot, and lines that are nothing else.
func (b *builder) dots(size int) {
	for len(b.out)+100 < size {
		b.printf("%s\r\n", []string{".", "..", "...", ". ", ".\t.", ".QUIT"}[b.r.IntN(6)])
		b.line(b.r.IntN(70))
	}
	b.printf(".\r\n")
}

// longLines are as long as RFC 5321 4.5.3.1.6 allows.
func (b *builder) longLines(size int) {
	for len(b.out)+1000 < size {
		b.line(998)
	}
}

func (b *builder) eightBitText(size int) {
	words := []string{"Grüße", "naïve", "Ελληνικά", "кириллица", "漢字かな", "🙂", "\xe9\xe8 latin-1",
		"\xff\xfe\x80"}
	for len(b.out)+100 < size {
		b.eightBit = true
		b.out = append(b.out, words[b.r.IntN(len(words))]...)
		b.line(b.r.IntN(60))
	}
}

func (b *builder) emptyLines(size int) {
	for len(b.out)+90 < size {
		b.out = append(b.out, strings.Repeat("\r\n", 1+b.r.IntN(4))...)
		b.line(b.r.IntN(70))
	}
	b.printf("\r\n\r\n")
}

func (b *builder) spaces(size int) {
	for len(b.out)+90 < size {
		b.printf(" \t%*s", b.r.IntN(5), "")
		b.line(b.r.IntN(50))
		b.printf("trailing  \t \r\n")
	}
}

// fromLines has what mailbox formats and other people's parsers stumble over.
func (b *builder) fromLines(size int) {
	for len(b.out)+120 < size {
		b.printf("%s\r\n", []string{"From a@b.example", ">From", "EHLO x", "--", "\x01\x7f",
			"X-Test-ID: wrong", "250 Ok"}[b.r.IntN(7)])
		b.line(b.r.IntN(76))
	}
}

// Lines for messages of a fixed size, which a load generator has to make cheaply.
const (
	blockLine = 78
	blockSize = blockLine << 14
)

// lines returns a block of random lines, made once.
func (g *Generator) lines() []byte {
	g.once.Do(func() {
		b := &builder{r: rand.New(rand.NewPCG(g.Seed, 0))}
		for len(b.out) < blockSize {
			b.line(blockLine - 2)
		}
		g.block = b.out
	})
	return g.block
}

// cut appends lines of a block, beginning at another place for each i.
func (b *builder) cut(block []byte, i, size int) {
	at := i * 7919 % (blockSize / blockLine) * blockLine
	for room := (size - len(b.out)) / blockLine * blockLine; room > 0; {
		n := min(room, blockSize-at)
		b.out = append(b.out, block[at:at+n]...)
		room -= n
		at = 0
	}
}

// finish fills up to size exactly where a line more fits.
func (b *builder) finish(size int) {
	for size-len(b.out) > 1000 {
		b.line(900)
	}
	if room := size - len(b.out); room >= 2 {
		b.line(room - 2)
	}
}
