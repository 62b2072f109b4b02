package load

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"time"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// maker makes addresses and contents. Message n follows from the options and n. It is read only, so
// that all loops share it.
type maker struct {
	o         *Options
	block     []byte // lines for made contents
	header    template
	padded    template // one octet longer
	marker    template // for bodies that have a header of their own
	generator *mailtest.Generator
}

// The block has lines of one length that do not compress well, and none begins with a dot: a
// content is any piece of it that ends with a line.
const (
	lineSize  = 78
	blockSize = lineSize << 12 // some 300 KiB: stays in the processor's cache
	alphabet  = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
)

func newMaker(o *Options, now time.Time) *maker {
	mk := &maker{o: o}
	mk.marker = newTemplate(markerLine(o))
	switch {
	case o.Content.Varied:
		mk.generator = &mailtest.Generator{
			Seed: o.Envelope.Seed, Run: o.Content.Run, Domains: o.Envelope.Domains.Names(),
			NoUTF8: true, MaxSize: o.Content.Sizes.largest(),
		}
	case o.Content.Bodies == nil:
		mk.block = newBlock(o.Envelope.Seed)
		mk.header = newTemplate(headerText(o, now, ""))
		mk.padded = newTemplate(headerText(o, now, "."))
	}
	return mk
}

func newBlock(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, 0, blockSize)
	for len(b) < blockSize {
		for range (lineSize - 2) / 2 {
			v := r.Uint32()
			b = append(b, alphabet[v&63], alphabet[v>>6&63])
		}
		b = append(b, "\r\n"...)
	}
	return b
}

func markerLine(o *Options) string {
	return mailtest.Marker + ": " + o.Content.Run + "-" + hole + "\r\n"
}

// headerText is the header of made contents. The date is that of the start, so that a further
// attempt sends the same octets.
func headerText(o *Options, now time.Time, pad string) string {
	from, subject := o.Envelope.Sender, "load test "
	if from == "" {
		from = "MAILER-DAEMON"
	}
	if o.Envelope.UTF8 {
		subject = "Grüße, 你好 "
	}
	return markerLine(o) +
		"Date: " + now.Format(time.RFC1123Z) + "\r\n" +
		"From: <" + from + ">\r\n" +
		"To: undisclosed-recipients:;\r\n" +
		"Message-ID: <" + o.Content.Run + "-" + hole + "@" + o.Helo + ">\r\n" +
		"Subject: " + subject + hole + pad + "\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
}

// hole is where a template has a message's number, in as many digits.
const hole = "##########"

// template is text with holes of constant length.
type template struct {
	text []byte
	at   []int
}

func newTemplate(text string) (t template) {
	t.text = []byte(text)
	for from := 0; ; {
		i := bytes.Index(t.text[from:], []byte(hole))
		if i < 0 {
			return t
		}
		t.at = append(t.at, from+i)
		from += i + len(hole)
	}
}

// append appends the text with number n in its holes.
func (t *template) append(dst []byte, n int64) []byte {
	start := len(dst)
	dst = append(dst, t.text...)
	for _, at := range t.at {
		putNumber(dst[start+at:], n)
	}
	return dst
}

func putNumber(dst []byte, n int64) {
	for i := len(hole) - 1; i >= 0; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
}

// content is what one message consists of: a header, and octets of a block, which begins again
// where it ends.
type content struct {
	header   *template
	block    []byte // without dots stuffed
	stuffed  []byte // with; the same slice when there is nothing to stuff
	from     int    // where in the block
	n        int    // octets of the block; of stuffed, when that is another, it is all
	eightBit bool
	id       string // of a varied message, which has a marker of its own
}

// Salts keep the random numbers of one message apart.
const (
	saltSize = iota
	saltPlace
	saltBody
	saltDomain // and on, by recipient
)

// content returns that of message n.
func (mk *maker) content(n int64) content {
	seed := mk.o.Envelope.Seed
	switch {
	case mk.generator != nil:
		m := mk.generator.Message(int(n))
		return content{block: m.Content, stuffed: stuff(m.Content), n: len(m.Content),
			eightBit: m.EightBit, id: m.ID}
	case mk.o.Content.Bodies != nil:
		b := &mk.o.Content.Bodies.bodies[int(n%int64(len(mk.o.Content.Bodies.bodies)))]
		return content{header: &mk.marker, block: b.raw, stuffed: b.stuffed, n: len(b.raw),
			eightBit: b.eightBit}
	}
	size := mk.o.Content.Sizes.of(mix(seed, uint64(n), saltSize))
	c := content{header: &mk.header, block: mk.block, stuffed: mk.block,
		eightBit: mk.o.Envelope.UTF8}
	if c.n = size - len(c.header.text); c.n%lineSize == 1 { // would begin with a lone LF
		c.header = &mk.padded
		c.n--
	}
	end := int(mix(seed, uint64(n), saltPlace)%(blockSize/lineSize)) * lineSize
	if c.from = (end - c.n) % blockSize; c.from < 0 {
		c.from += blockSize
	}
	return c
}

// size returns the octets before dot-stuffing.
func (c *content) size() int { return c.headerSize() + c.n }

func (c *content) headerSize() int {
	if c.header == nil {
		return 0
	}
	return len(c.header.text)
}

// wireSize returns the octets as DATA carries them, less the final dot.
func (c *content) wireSize() int {
	if len(c.stuffed) == len(c.block) {
		return c.size()
	}
	return c.headerSize() + len(c.stuffed)
}

// append appends count octets from position at on, of the stuffed form when data is set.
func (c *content) append(dst []byte, n int64, at, count int, data bool) []byte {
	block := c.block
	if data {
		block = c.stuffed
	}
	if h := c.headerSize(); at < h { // a header is never cut: pieces are longer
		dst = c.header.append(dst, n)
		count -= h
		at = h
	}
	for place := c.from + at - c.headerSize(); count > 0; {
		place %= len(block)
		k := min(count, len(block)-place)
		dst = append(dst, block[place:place+k]...)
		place += k
		count -= k
	}
	return dst
}

// appendID appends the ID of message n.
func (mk *maker) appendID(dst []byte, n int64) []byte {
	dst = append(append(dst, mk.o.Content.Run...), '-')
	dst = append(dst, hole...)
	putNumber(dst[len(dst)-len(hole):], n)
	return dst
}

// appendRecipient appends the address of recipient k of message n.
func (mk *maker) appendRecipient(dst []byte, n int64, k int) []byte {
	e := &mk.o.Envelope
	if len(e.To) > 0 {
		return append(dst,
			e.To[int((uint64(n)*uint64(e.Recipients)+uint64(k))%uint64(len(e.To)))]...)
	}
	if e.UTF8 {
		dst = append(dst, "用户."...)
	}
	dst = append(dst, 'r')
	dst = strconv.AppendInt(dst, n, 10)
	if k > 0 {
		dst = append(dst, '.')
		dst = strconv.AppendInt(dst, int64(k), 10)
	}
	dst = append(dst, '@')
	return append(dst, e.Domains.of(mix(e.Seed, uint64(n), saltDomain+uint64(k)))...)
}
