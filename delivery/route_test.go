package delivery

import (
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
)

// TestUnicodeRoutes: a pattern is written in letters of any script, and addresses come as U-labels
// or as A-labels.
func TestUnicodeRoutes(t *testing.T) {
	inWorld(t, func(w *world) {
		w.o.Routes = []Route{
			{Domain: "*.B\u00dccher.test", SmartHost: "books.hub.test"},
			{Recipient: "vip@gr\u00f6\u00dfe.test", SmartHost: "vip.hub.test"},
			{Sender: "*@m\u00fcll.test", SmartHost: "m\u00fcll.hub.test"},
		}
	}, func(w *world) {
		send := func(from, to, domain string) {
			w.submit(&mail.Envelope{Sender: from,
				Recipients: []mail.Recipient{{Address: to, Domain: domain}}})
		}
		send("s@x.test", "1@shop.b\u00fccher.test", "shop.xn--bcher-kva.test")
		send("s@x.test", "2@shop.xn--bcher-kva.test", "shop.xn--bcher-kva.test")
		send("s@x.test", "VIP@gr\u00f6\u00dfe.test", "xn--gre-6ka8i.test")
		send("s@x.test", "vip@xn--gre-6ka8i.test", "xn--gre-6ka8i.test")
		send("s@M\u00dcLL.test", "a@a.test", "a.test")
		w.after(time.Minute)
		for host, want := range map[string]int{"books.hub.test": 2, "vip.hub.test": 2,
			"xn--mll-hoa.hub.test": 1} {
			if n := len(w.net.host(host).received()); n != want {
				t.Errorf("%s got %d, want %d", host, n, want)
			}
		}
	})
}
