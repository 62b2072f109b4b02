package smtpd

import (
	"fmt"
	"strings"
	"testing"
)

// TestLongLines: lines beyond 998 octets are taken as they are up to the listener's limit (RFC 5322
// 2.1.1), by DATA and BDAT, in the header and in the body.
func TestLongLines(t *testing.T) {
	for _, c := range []struct {
		limit, length int
		want          string
	}{
		{0, 999, "250"}, {0, defaultMaxLine, "250"}, {0, defaultMaxLine + 1, "554 5.6.0"},
		{5000, 5000, "250"}, {5000, 5001, "554 5.6.0"},
		{1, 998, "250"}, {1, 999, "554 5.6.0"}, // RFC 5321 4.5.3.1.6 has 998 as the least
	} {
		line := strings.Repeat("x", c.length-3)
		for _, content := range []string{
			"A: " + line + "\r\n\r\nbody\r\n",
			"A: b\r\n\r\n123" + line + "\r\n",
		} {
			for _, chunks := range []bool{false, true} {
				r := newRig(t, ListenerOptions{MaxLine: c.limit}, nil)
				client := r.hello()
				if chunks {
					client.mail("")
					client.Send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(content), content))
				} else {
					client.data()
					client.Send(content + ".\r\n")
				}
				client.Expect(c.want)
				got := r.queue.messages()
				if taken := len(got) > 0; taken != (c.want == "250") ||
					taken && !strings.HasSuffix(got[0].data, content) {
					t.Errorf("%+v, chunks %v: %d messages", c, chunks, len(got))
				}
			}
		}
	}
}
