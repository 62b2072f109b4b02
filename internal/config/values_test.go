package config

import (
	"encoding"
	"fmt"
	"testing"
)

func TestValues(t *testing.T) {
	type value interface {
		encoding.TextUnmarshaler
		fmt.Stringer
	}
	for _, c := range []struct {
		in   string
		into value
		want string // "" when it must be refused
	}{
		{"90s", new(Duration), "1m30s"}, {"4d", new(Duration), "4d"},
		{"1h30m", new(Duration), "1h30m"}, {"250ms", new(Duration), "250ms"},
		{"0s", new(Duration), "0s"}, {"2w", new(Duration), "14d"},
		{"5", new(Duration), ""}, {"", new(Duration), ""}, {"-1s", new(Duration), ""},
		{"1h30", new(Duration), ""}, {"5 m", new(Duration), ""},
		{"1M", new(Duration), ""}, {"200000d", new(Duration), ""},
		{"100000d100000d", new(Duration), ""},
		{"50MiB", new(Size), "50MiB"}, {"1024KiB", new(Size), "1MiB"}, {"0B", new(Size), "0B"},
		{"512B", new(Size), "512B"},
		{"50MB", new(Size), ""}, {"50", new(Size), ""}, {"-1B", new(Size), ""},
		{"9000000TiB", new(Size), ""}, {"1.5GiB", new(Size), ""},
		{"10%", new(Percent), "10%"}, {"0.5%", new(Percent), "0.5%"}, {"101%", new(Percent), ""},
		{"10", new(Percent), ""}, {"NaN%", new(Percent), ""}, {"1e1%", new(Percent), ""},
		{"10/s", new(Rate), "10/s"}, {"1,000/h", new(Rate), "1000/h"},
		{"100/d", new(Rate), "100/d"}, {"600/min", new(Rate), "600/m"}, {"", new(Rate), ""},
		{"0/s", new(Rate), ""}, {"10", new(Rate), ""}, {"10/w", new(Rate), ""},
		{"ten/s", new(Rate), ""},
		{"::1", new(Network), "::1"}, {"127.0.0.0/8", new(Network), "127.0.0.0/8"},
		{"192.0.2.1/32", new(Network), "192.0.2.1"},
		{"127.0.0.1/8", new(Network), ""}, {"::ffff:10.0.0.0/104", new(Network), ""},
		{"localhost", new(Network), ""}, {"fe80::1%eth0", new(Network), ""},
	} {
		err := c.into.UnmarshalText([]byte(c.in))
		if c.want == "" && c.in != "" && err == nil {
			t.Errorf("%T takes %q as %v", c.into, c.in, c.into)
		}
		if c.want != "" && (err != nil || c.into.String() != c.want) {
			t.Errorf("%T of %q = %v (%v), want %s", c.into, c.in, c.into, err, c.want)
		}
	}
}
