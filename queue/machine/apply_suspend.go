package machine

import (
	"encoding/binary"
	"time"

	"github.com/postroad/postroad/internal/codec"
)

// SuspensionKind says what a suspension's name names.
type SuspensionKind uint8

const (
	// a recipient domain, in the form of mail.Recipient.Domain
	SuspendDomain   SuspensionKind = iota + 1
	SuspendSite                    // a set of hosts, by its name or a suffix of theirs
	SuspendTenant                  // mail.Origin.Tenant
	SuspendCampaign                // mail.Origin.Campaign
)

// Suspension keeps the scheduler from beginning attempts. The recipients' states and due times know
// nothing of it.
type Suspension struct {
	Kind   SuspensionKind
	Name   string
	Reason string
	// Serial tells it from a later one of the same kind and name.
	Serial uint64
	// Until is when it ends, in this queue's command time; zero: when a newer version does not have
	// it any more.
	Until time.Time
	// Lasts is how much longer it is to last, for Suspend; 0: until a newer version does not have
	// it. A queue that has this very one already knows since when, and when it ends.
	Lasts time.Duration
}

// Suspensions are all that a queue has acknowledged.
type Suspensions struct {
	Version uint64 // of whoever keeps the list for all queues; 0: none was acknowledged yet
	Index   uint64 // of the entry of this queue's log that did
	All     []Suspension
}

// SuspendResult is the version that the queue has now, and since which entry.
type SuspendResult struct{ Version, Index uint64 }

// AppendSuspensions: version and list of a suspend command.
func AppendSuspensions(b []byte, version uint64, all []Suspension) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, version), uint64(len(all)))
	for i := range all {
		b = all[i].append(b)
		b = binary.AppendUvarint(b, uint64(max(0, all[i].Lasts.Milliseconds())))
	}
	return b
}

func (s *Suspension) append(b []byte) []byte {
	b = codec.AppendBytes(append(b, byte(s.Kind)), s.Name)
	return binary.AppendUvarint(codec.AppendBytes(b, s.Reason), s.Serial)
}

func (d *Decoder) suspension() (s Suspension) {
	s.Kind, s.Name, s.Reason, s.Serial = SuspensionKind(
		d.Octet(),
	), d.String(), d.String(), d.Uvarint()
	if s.Kind < SuspendDomain || s.Kind > SuspendCampaign {
		d.Fail()
	}
	return s
}

const leastSuspension = 5 // octets

// decodeSuspend reads a suspend command.
func (c *Command) decodeSuspend(d *Decoder) {
	c.Suspend = Suspensions{Version: d.Uvarint()}
	for n := d.Count(leastSuspension); n > 0 && !d.Failed(); n-- {
		s := d.suspension()
		s.Lasts = time.Duration(d.Below(maxLasts)) * time.Millisecond
		c.Suspend.All = append(c.Suspend.All, s)
	}
}

// maxLasts is a hundred years in milliseconds: what a Duration holds.
const maxLasts = 100 * 366 * 24 * 3600 * 1000

// Append writes the row of what is suspended.
func (s *Suspensions) Append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, FormatVersion), s.Version)
	b = binary.AppendUvarint(binary.AppendUvarint(b, s.Index), uint64(len(s.All)))
	for i := range s.All {
		b = s.All[i].append(b)
		b = binary.AppendUvarint(b, uint64(codec.ToMillis(s.All[i].Until)))
	}
	return b
}

// DecodeSuspendRow reads the row of what is suspended.
func DecodeSuspendRow(b []byte) (s Suspensions, err error) {
	d := Decoder{codec.New(b)}
	d.version()
	s.Version, s.Index = d.Uvarint(), d.Uvarint()
	for n := d.Count(leastSuspension); n > 0 && !d.Failed(); n-- {
		one := d.suspension()
		one.Until = codec.FromMillis(d.Millis())
		s.All = append(s.All, one)
	}
	return s, d.done()
}

// applySuspend takes a newer list. A list is complete and has a version, so a late or repeated one
// changes nothing and needs no fence. Time counts from the command that first brought a suspension,
// whatever clocks its later versions come from.
func (m *Machine) applySuspend() any {
	var old Suspensions
	if v, ok := m.w.Get(SuspendKey); ok {
		old = must(DecodeSuspendRow(v))
	}
	now := m.cmd.Suspend
	if now.Version <= old.Version {
		return SuspendResult{old.Version, old.Index}
	}
	known := make(map[uint64]time.Time, len(old.All))
	for i := range old.All {
		known[old.All[i].Serial] = old.All[i].Until
	}
	now.Index = m.index
	for i := range now.All {
		s := &now.All[i]
		if until, ok := known[s.Serial]; ok {
			s.Until = until
		} else if s.Lasts > 0 {
			s.Until = codec.FromMillis(m.Meta.Time + s.Lasts.Milliseconds())
		}
		s.Lasts = 0
	}
	m.set(SuspendKey, now.Append(m.val[:0]))
	m.Events.Suspended(now)
	return SuspendResult{now.Version, now.Index}
}
