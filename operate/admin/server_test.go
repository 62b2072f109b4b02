package admin

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/config"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
	"github.com/postroad/postroad/internal/unixsock"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/client"
)

func (n *node) request(
	t *testing.T, method, path string, header map[string]string,
) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+n.Addr().String()+path,
		strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
		if k == "Host" {
			req.Host = v
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func TestWhoMayDoWhatOverTCP(t *testing.T) {
	n := start(t, nil)
	bearer := "Bearer " + testToken
	for _, c := range []struct {
		name, method, path string
		header             map[string]string
		want               int
	}{
		{"live", "GET", "/livez", nil, 200},
		{"ready", "GET", "/readyz", nil, 200},
		{"metrics", "GET", "/metrics", nil, 200},
		{"queue without a token", "POST", "/v1/queue/count", nil, 403},
		{"queue with a wrong token", "POST", "/v1/queue/count",
			map[string]string{"Authorization": "Bearer x"}, 403},
		{"queue with the token as a password", "POST", "/v1/queue/count",
			map[string]string{"Authorization": "Basic " + testToken}, 403},
		{"queue with the token", "POST", "/v1/queue/count",
			map[string]string{"Authorization": bearer}, 200},
		{"profile without a token", "GET", "/debug/pprof/", nil, 403},
		{"profile", "GET", "/debug/pprof/", map[string]string{"Authorization": bearer}, 200},
		{"nothing there, without a token", "GET", "/v2", nil, 403},
		{"nothing there", "GET", "/v2", map[string]string{"Authorization": bearer}, 404},
		{"its name", "GET", "/metrics", map[string]string{"Host": "mx1.example.net:8025"}, 200},
		{"localhost", "GET", "/metrics", map[string]string{"Host": "localhost"}, 200},
		{"IPv6", "GET", "/metrics", map[string]string{"Host": "[::1]:8025"}, 200},
		{"a name that was made to resolve here", "GET", "/metrics",
			map[string]string{"Host": "evil.example"}, 403},
		{"the same with the token", "POST", "/v1/queue/count",
			map[string]string{"Host": "evil.example:8025", "Authorization": bearer}, 403},
		{"from another site", "POST", "/v1/queue/count",
			map[string]string{"Origin": "https://evil.example", "Authorization": bearer}, 403},
		{"from a file", "POST", "/v1/queue/count",
			map[string]string{"Origin": "null", "Authorization": bearer}, 403},
		{"from its own site", "POST", "/v1/queue/count",
			map[string]string{"Origin": "http://" + n.Addr().String(), "Authorization": bearer},
			200},
		{"with the wrong method", "GET", "/v1/queue/count",
			map[string]string{"Authorization": bearer}, 405},
		{"by another way to the path", "POST", "/livez/../v1/queue/count", nil, 403},
	} {
		if status, body := n.request(t, c.method, c.path, c.header); status != c.want {
			t.Errorf("%s: %d, want %d: %s", c.name, status, c.want, body)
		}
	}
}

func TestNoTokenMeansNobodyOverTCP(t *testing.T) {
	n := start(t, func(o *Options) { o.Token = "" })
	for _, header := range []map[string]string{nil, {"Authorization": "Bearer "},
		{"Authorization": "Bearer"}} {
		if status, _ := n.request(t, "POST", "/v1/queue/count", header); status != 403 {
			t.Errorf("%v: %d", header, status)
		}
	}
}

// TestConfigure: another token and other names count from the next request on.
func TestConfigure(t *testing.T) {
	n := start(t, nil)
	header := map[string]string{"Authorization": "Bearer another token", "Host": "mx2.example.net"}
	old := map[string]string{"Authorization": "Bearer " + testToken, "Host": "mx1.example.net"}
	for i, want := range [][2]int{{403, 200}, {200, 403}} {
		if i == 1 {
			n.Configure(Settings{Token: "another token", Hosts: []string{"mx2.example.net"}})
		}
		for j, h := range []map[string]string{header, old} {
			if status, body := n.request(t, "POST", "/v1/queue/count", h); status != want[j] {
				t.Errorf("after %d changes, %v: %d, want %d: %s", i, h, status, want[j], body)
			}
		}
	}
}

// TestMove: another address takes the place of the former one, which answers to the end what it was
// asked; one that cannot be opened changes nothing.
func TestMove(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	n := start(t, func(o *Options) {
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery == "slow" {
				close(asked)
				<-answer
			}
		})
	})
	first := n.Addr().String()
	slow := make(chan int, 1)
	go func() {
		r, err := http.Get("http://" + first + "/metrics?slow")
		if err != nil {
			t.Error(err)
			slow <- 0
			return
		}
		r.Body.Close()
		slow <- r.StatusCode
	}()
	<-asked
	if _, _, err := n.Move(first); err == nil {
		t.Error("an address that is in use was opened")
	}
	_, stay, err := n.Move("localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	stay()
	if got := n.Addr().String(); got != first {
		t.Errorf("after staying it is on %s", got)
	}
	move, _, err := n.Move("localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	move()
	if status, body := n.request(t, "GET", "/metrics", nil); status != 200 {
		t.Errorf("on the new address: %d %s", status, body)
	}
	for {
		c, err := net.Dial("tcp", first)
		if err != nil {
			break
		}
		c.Close() // it closes in a moment
	}
	close(answer)
	if status := <-slow; status != 200 {
		t.Errorf("what was being answered ended with %d", status)
	}
	move, _, err = n.Move("")
	if err != nil {
		t.Fatal(err)
	}
	if move(); n.Addr() != nil {
		t.Errorf("it is on %v", n.Addr())
	}
}

func TestNotReadySaysWhy(t *testing.T) {
	n := start(t, nil)
	n.ready = errors.New("no quorum")
	if status, body := n.request(t, "GET", "/readyz", nil); status != 503 ||
		!strings.Contains(body, "no quorum") {
		t.Errorf("%d %s", status, body)
	}
	n.notes = []string{"mx3 does not answer", "group 5 survives no further loss"}
	if _, body := n.request(t, "GET", "/readyz",
		nil); body != "no quorum\nmx3 does not answer\ngroup 5 survives no further loss\n" {
		t.Errorf("with notes, not ready: %q", body)
	}
	n.ready = nil
	if status, body := n.request(t, "GET", "/readyz", nil); status != 200 ||
		body != "ok\nmx3 does not answer\ngroup 5 survives no further loss\n" {
		t.Errorf("with notes, ready: %d %q", status, body)
	}
	if status, _ := n.request(t, "GET", "/livez", nil); status != 200 {
		t.Errorf("a node that is not ready is dead: %d", status)
	}
}

// TestStrangersAreToldOnlyWhether: names of nodes and paths are for those who have the token, and
// for this machine.
func TestStrangersAreToldOnlyWhether(t *testing.T) {
	n := start(t, nil)
	n.notes = []string{"mx3 does not answer"}
	for _, ready := range []error{nil, errors.New("/var/lib/postroad has no room")} {
		n.ready = ready
		secret, public, status := "ok\nmx3 does not answer\n", "ok\n", http.StatusOK
		if ready != nil {
			secret, public, status = ready.Error()+"\nmx3 does not answer\n", "not ready\n",
				http.StatusServiceUnavailable
		}
		for _, c := range []struct{ from, token, want string }{
			{"192.0.2.1:1", "", public}, {"[2001:db8::1]:1", "Bearer wrong", public},
			{"192.0.2.1:1", "Bearer " + testToken, secret}, {"127.0.0.2:1", "", secret},
			{"[::ffff:127.0.0.1]:1", "", secret}, {"[::1]:1", "", secret}, {"@", "", secret},
		} {
			r := httptest.NewRequest("GET", "/readyz", nil)
			r.RemoteAddr = c.from
			r.Header.Set("Authorization", c.token)
			w := httptest.NewRecorder()
			n.Server.mux().ServeHTTP(w, r)
			if w.Code != status || w.Body.String() != c.want {
				t.Errorf("from %s with %q: %d %q, want %q", c.from, c.token, w.Code, w.Body,
					c.want)
			}
		}
	}
}

func TestSocketIsForItsUserOnly(t *testing.T) {
	n := start(t, nil)
	info, err := os.Stat(n.o.Socket)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Fatalf("%v, %v", info, err)
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(n.o.Socket), ".admin-*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := n.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(n.o.Socket); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// TestStaleSocketAndLongPath starts over the socket that a crash left, in a directory whose name is
// too long for a socket's address.
func TestStaleSocketAndLongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 40))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "admin.sock")
	crashed, err := unixsock.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	crashed.Close()
	n := start(t, func(o *Options) { o.Socket = path })
	if _, err := n.client.Count(t.Context(), api.Filter{}); err != nil {
		t.Fatal(err)
	}
}

// TestSocketOfAGroup: a reload lets a group in, or shuts it out, and what it undoes is undone.
func TestSocketOfAGroup(t *testing.T) {
	own := os.Getegid()
	n := start(t, func(o *Options) { o.Group = &own })
	mode := func(want os.FileMode) {
		t.Helper()
		info, err := os.Stat(n.o.Socket)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%v, %v; want %v", info, err, want)
		}
	}
	mode(0o660)
	back, err := n.Admit(nil)
	if err != nil {
		t.Fatal(err)
	}
	mode(0o600)
	back()
	mode(0o660)
	same := own
	if back, err = n.Admit(&same); err != nil {
		t.Fatal(err)
	}
	back() // there is nothing to undo
	mode(0o660)
}

func TestNobodyAnswers(t *testing.T) {
	addr, err := mailtest.FreeAddr("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{filepath.Join(t.TempDir(), "admin.sock"), addr} {
		_, err := client.New(target, "").Count(t.Context(), api.Filter{})
		if exit(t, err) != api.ExitUnavailable || !strings.Contains(err.Error(), target) ||
			!strings.Contains(err.Error(), "postroad serve") {
			t.Errorf("%s: %v", target, err)
		}
	}
}

func TestClientOverTCP(t *testing.T) {
	n := start(t, nil)
	if _, err := client.New(n.Addr().String(), testToken).Count(t.Context(),
		api.Filter{}); err != nil {
		t.Error(err)
	}
	if _, err := client.New(n.Addr().String(), "wrong").Count(t.Context(), api.Filter{}); exit(t,
		err) != api.ExitPermission {
		t.Errorf("wrong token: %v", err)
	}
}

func TestUsers(t *testing.T) {
	n := start(t, nil)
	add := api.UserRequest{Name: "Alice@Example.NET", Password: "secret",
		UserSettings: api.UserSettings{
			Tenant: new("t1"), Senders: []string{"@example.org"},
			Messages: &config.Rate{N: 5, Per: time.Hour}}}
	for _, c := range []struct {
		name, verb string
		u          api.UserRequest
		want       int
	}{
		{"add", "add", add, 0},
		{"add again", "add", add, api.ExitData},
		{"no address", "add", api.UserRequest{Name: "alice", Password: "x"}, api.ExitData},
		{"no password", "add", api.UserRequest{Name: "bob@example.net"}, api.ExitData},
		{"control character", "add", api.UserRequest{Name: "bob@example.net", Password: "a\x00b"},
			api.ExitData},
		{"bad sender", "add", api.UserRequest{Name: "bob@example.net", Password: "x",
			UserSettings: api.UserSettings{Senders: []string{"nobody"}}}, api.ExitData},
		{"passwd", "passwd", api.UserRequest{Name: "alice@example.net", Password: "other",
			Scram: true}, 0},
		{"passwd of nobody", "passwd", api.UserRequest{Name: "bob@example.net", Password: "x"},
			api.ExitData},
		{"set", "set", api.UserRequest{Name: "alice@example.net",
			UserSettings: api.UserSettings{HardQuota: new(config.Size(1 << 30)),
				Mailbox: new(true)}}, 0},
		{"soft above hard", "set", api.UserRequest{Name: "alice@example.net",
			UserSettings: api.UserSettings{SoftQuota: new(config.Size(2 << 30))}}, api.ExitData},
		{"bad forward", "set", api.UserRequest{Name: "alice@example.net",
			UserSettings: api.UserSettings{Forward: []string{"nobody"}}}, api.ExitData},
		{"remove nobody", "remove", api.UserRequest{Name: "bob@example.net"}, api.ExitData},
	} {
		if err := n.client.ChangeUser(t.Context(), c.verb, c.u); exit(t, err) != c.want {
			t.Errorf("%s: %v, want %d", c.name, err, c.want)
		}
	}
	var got []string
	if err := n.client.Users(t.Context(), func(raw json.RawMessage) error {
		got = append(got, string(raw))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 ||
		!strings.Contains(got[0],
			`{"name":"alice@example.net","tenant":"t1","senders":["@example.org"],"messages":"5/h","scram":true,"mailbox":true,"hard_quota":1073741824,`) || strings.Contains(got[0], "argon2") {
		t.Errorf("users %v", got)
	}
	if err := n.client.ChangeUser(t.Context(), "remove",
		api.UserRequest{Name: "alice@example.net"}); err != nil {
		t.Error(err)
	}
}
