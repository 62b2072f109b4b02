package operator

import (
	"bytes"
	"strings"
	"testing"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/operate/admin/api"
)

func TestOctets(t *testing.T) {
	for n, want := range map[int64]string{0: "0 octets", 1: "1 octet", 1 << 10: "1.0 KiB",
		1<<20 - 1: "1024.0 KiB", 1 << 20: "1.0 MiB", 5 << 39: "2.5 TiB", 1 << 62: "4194304.0 TiB"} {
		if got := octets(n); got != want {
			t.Errorf("%d: %s, not %s", n, got, want)
		}
	}
}

// TestFewLeft: two nodes are told of where one survives no loss, and before there are no more.
func TestFewLeft(t *testing.T) {
	st := &api.ClusterStatus{Members: []api.MemberStatus{{ID: 1, Name: "mx1", State: "active"},
		{ID: 2, Name: "mx2", State: "draining"}, {ID: 3, Name: "mx3", State: "active"},
		{ID: 4, Name: "mx4", State: "removed"}, {ID: 5, Name: "mx5", State: "joining"}}}
	const two = "two nodes are left, and the cluster takes mail only while both answer"
	for without, want := range map[string]bool{"": false, "mx4": false, "mx2": true, "2": true} {
		if got := FewLeft(st, without); strings.HasPrefix(got, two) != want {
			t.Errorf("without %q: %q", without, got)
		}
	}
	st.Members = st.Members[:2]
	if got := survival(st); !strings.Contains(got, two) || !strings.Contains(got, "cluster token") {
		t.Errorf("status: %s", got)
	}
}

// TestPrintWaits: a limit that holds mail back is told, beside the last answer if that is another.
func TestPrintWaits(t *testing.T) {
	for _, p := range []struct {
		r    api.Recipient
		want string
	}{
		{api.Recipient{Waits: "rate 5/s of shaping gmail.com"},
			"waits: rate 5/s of shaping gmail.com"},
		{api.Recipient{Waits: "rate 5/s of shaping a", DelayReason: "host mx[::1] said: 450 no"},
			"waits: rate 5/s of shaping a, host mx[::1] said: 450 no"},
		{api.Recipient{Waits: "backing off after 421 busy",
			DelayReason: "host mx[::1] said: 421 busy"}, "waits: backing off after 421 busy"},
		{api.Recipient{DelayReason: "Timed out"}, "Timed out"},
	} {
		var out bytes.Buffer
		if err := printRecipient(&cli.Console{Out: &out}, &p.r); err != nil ||
			!strings.HasSuffix(out.String(), ">  "+p.want+"\n") {
			t.Errorf("%v: %q, want %q", err, out.String(), p.want)
		}
	}
}
