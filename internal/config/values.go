package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time: "90s", "5m", "1h30m", "4d".
type Duration time.Duration

// Size is a number of octets: "512B", "50MiB".
type Size int64

// Percent is a share of a whole: "10%", "0.5%".
type Percent float64

// Rate is a number of events in a time: "10/s", "1,000/h", "100/d". The zero Rate, "", is no limit.
type Rate struct {
	N   int64
	Per time.Duration
}

// Network is an address prefix: "192.0.2.0/24", "2001:db8::/32", or an address alone.
type Network struct{ netip.Prefix }

// Networks is a list of networks.
type Networks []Network

// Contains reports whether addr lies in one of the networks. An IPv4 address that is mapped into
// IPv6 counts as IPv4.
func (ns Networks) Contains(addr netip.Addr) bool {
	addr = addr.Unmap()
	for _, n := range ns {
		if n.Prefix.Contains(addr) {
			return true
		}
	}
	return false
}

type unit struct {
	name string
	n    int64
}

// The units, from the largest to the smallest; String uses the largest that leaves no rest.
var (
	timeUnits = []unit{
		{"w", int64(7 * 24 * time.Hour)}, {"d", int64(24 * time.Hour)}, {"h", int64(time.Hour)},
		{"m", int64(time.Minute)}, {"s", int64(time.Second)}, {"ms", int64(time.Millisecond)},
	}
	sizeUnits = []unit{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
		{"B", 1}}
	perUnits = []unit{
		{"d", int64(24 * time.Hour)}, {"h", int64(time.Hour)}, {"m", int64(time.Minute)},
		{"s", int64(time.Second)},
		{"day", int64(24 * time.Hour)}, {"hr", int64(time.Hour)}, {"min", int64(time.Minute)},
		{"sec", int64(time.Second)},
	}
)

const (
	wantDuration = `want a number and a unit, such as "90s", "5m", "1h30m" or "4d"`
	wantSize     = `want a whole number and a unit of B, KiB, MiB, GiB or TiB, such as "50MiB"`
	wantPercent  = `want a share of 0% to 100%, such as "10%"`
	wantRate     = `want a number a second, minute, hour or day, such as "10/s", "600/m", "1,000/h" or "100/d"; "" is no limit`
	wantNetwork  = `want an address or a network, such as "192.0.2.1", "10.0.0.0/8" or "2001:db8::/32"`
)

// UnmarshalText reads one or more numbers with units.
func (d *Duration) UnmarshalText(text []byte) error {
	rest, total := string(text), int64(0)
	for first := true; first || rest != ""; first = false {
		n, after, ok := leadingNumber(rest)
		u, size := unitOf(after, timeUnits)
		if !ok || size == 0 || n > (math.MaxInt64-total)/u.n {
			return errors.New(wantDuration)
		}
		total += n * u.n
		rest = after[size:]
	}
	*d = Duration(total)
	return nil
}

// UnmarshalText reads a whole number with a unit.
func (s *Size) UnmarshalText(text []byte) error {
	n, after, ok := leadingNumber(string(text))
	for _, u := range sizeUnits {
		if ok && after == u.name && n <= math.MaxInt64/u.n {
			*s = Size(n * u.n)
			return nil
		}
	}
	return errors.New(wantSize)
}

// UnmarshalText reads a number with a percent sign.
func (p *Percent) UnmarshalText(text []byte) error {
	digits, ok := strings.CutSuffix(string(text), "%")
	if !ok || digits == "" || strings.Trim(digits, "0123456789.") != "" {
		return errors.New(wantPercent)
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil || f > 100 {
		return errors.New(wantPercent)
	}
	*p = Percent(f)
	return nil
}

// UnmarshalText reads a number, which may have commas between its thousands, a slash and a unit of
// time.
func (r *Rate) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*r = Rate{}
		return nil
	}
	number, per, _ := strings.Cut(string(text), "/")
	n, rest, ok := leadingNumber(strings.ReplaceAll(number, ",", ""))
	for _, u := range perUnits {
		if ok && rest == "" && n > 0 && per == u.name {
			*r = Rate{N: n, Per: time.Duration(u.n)}
			return nil
		}
	}
	return errors.New(wantRate)
}

// UnmarshalText reads a prefix or an address. A prefix with bits beyond its length is refused: it
// may not be what was meant.
func (n *Network) UnmarshalText(text []byte) error {
	s := string(text)
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		n.Prefix = netip.PrefixFrom(addr, addr.BitLen())
		return nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return errors.New(wantNetwork)
	}
	if p.Addr().Is4In6() {
		return errors.New("is an IPv4 network in IPv6 form; write it as IPv4")
	}
	if p != p.Masked() {
		return fmt.Errorf("has address bits beyond its length; did you mean %q?", p.Masked())
	}
	n.Prefix = p
	return nil
}

func (d Duration) String() string {
	if d == 0 {
		return "0s"
	}
	var b []byte
	rest := int64(d)
	for _, u := range timeUnits {
		// a week is read, but "7d" is easier to compare with
		if q := rest / u.n; q > 0 && u.name != "w" {
			b = append(strconv.AppendInt(b, q, 10), u.name...)
			rest %= u.n
		}
	}
	return string(b)
}

func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && int64(s)%u.n == 0 {
			return strconv.FormatInt(int64(s)/u.n, 10) + u.name
		}
	}
	return "0B"
}

func (p Percent) String() string { return strconv.FormatFloat(float64(p), 'f', -1, 64) + "%" }

func (r Rate) String() string {
	for _, u := range perUnits {
		if r.N > 0 && int64(r.Per) == u.n {
			return strconv.FormatInt(r.N, 10) + "/" + u.name
		}
	}
	return ""
}

func (n Network) String() string {
	if n.IsValid() && n.IsSingleIP() {
		return n.Addr().String()
	}
	return n.Prefix.String()
}

// The text forms, as Show and Reference print them.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }
func (s Size) MarshalText() ([]byte, error)     { return []byte(s.String()), nil }
func (p Percent) MarshalText() ([]byte, error)  { return []byte(p.String()), nil }
func (r Rate) MarshalText() ([]byte, error)     { return []byte(r.String()), nil }
func (n Network) MarshalText() ([]byte, error)  { return []byte(n.String()), nil }

// leadingNumber takes a whole number from the front of s.
func leadingNumber(s string) (n int64, rest string, ok bool) {
	i := 0
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	n, err := strconv.ParseInt(s[:i], 10, 64)
	return n, s[i:], err == nil
}

// unitOf returns the unit at the front of s and its length; "ms" goes before "m".
func unitOf(s string, units []unit) (u unit, size int) {
	for _, c := range units {
		if strings.HasPrefix(s, c.name) && len(c.name) > size {
			u, size = c, len(c.name)
		}
	}
	return u, size
}
