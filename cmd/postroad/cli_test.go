package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/operate/admin"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/queuetest"
)

// cliNode is an administration server over a real queue and directory in memory, found by
// POSTROAD_NODE.
type cliNode struct {
	queue *queue.Queue
	boxes *cliMailboxes
}

func (cliNode) Live() error                 { return nil }
func (cliNode) Ready() error                { return nil }
func (cliNode) Notes() []string             { return nil }
func (cliNode) Accepted([]queue.Item)       {}
func (cliNode) Changed([]mail.ID, []string) {}
func (cliNode) Gone([]mail.ID)              {}
func (cliNode) Suspended(queue.Suspensions) {}

type cliUsers struct {
	*directory.Editor
	*directory.Directory
}

func (u cliUsers) Remove(ctx context.Context, name string, _ bool) error {
	return u.Editor.Remove(ctx, name)
}

func (cliUsers) Sync(context.Context, bool) (directory.Synced, error) {
	return directory.Synced{}, directory.ErrManyGone
}

func startCLINode(t *testing.T) cliNode {
	t.Helper()
	q, d := queue.New(queue.Options{Member: 1}), directory.New()
	n := cliNode{q, &cliMailboxes{kept: map[string][]string{}}}
	home := queuetest.New(queuetest.Machine{
		Apply: func(w *queuetest.Writer, index, term uint64, data []byte, parts [][]byte) any {
			return q.Apply(w, index, term, data, parts)
		},
		Committed: q.Committed,
	})
	control := queuetest.New(queuetest.Machine{
		Apply: func(w *queuetest.Writer, index, term uint64, data []byte, parts [][]byte) any {
			return d.Apply(w, index, term, data, parts)
		},
		Committed: d.Committed,
	})
	if err := q.Start(t.Context(), home, n); err != nil {
		t.Fatal(err)
	}
	if err := d.Load(control); err != nil {
		t.Fatal(err)
	}
	editor := &directory.Editor{Directory: d, Proposer: control, Now: time.Now,
		Cost: directory.Cost{MemoryKiB: 8, Passes: 1, Lanes: 1}}
	dir := t.TempDir()
	s, err := admin.Start(admin.Options{Socket: filepath.Join(dir, "admin.sock"), Node: "mx1",
		Health: n, Metrics: http.NotFoundHandler(),
		Cluster: &cliCluster{}, Suspensions: cliSuspensions{}, Mailboxes: n.boxes,
		Configs: cliConfigs{}, ShowConfig: func() string { return "[node]  # f:1\n" },
		Settings: admin.Settings{Events: filepath.Join(dir, "events.jsonl")},
		Queues:   func() []admin.LocalQueue { return []admin.LocalQueue{{Group: 2, Queue: q}} },
		Users:    cliUsers{editor, d}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(context.Background()); q.Stop(context.Background()) })
	t.Setenv("POSTROAD_NODE", dir)
	return n
}

func (n cliNode) submit(t *testing.T, sender, recipient string) string {
	t.Helper()
	done := make(chan mail.ID, 1)
	env := &mail.Envelope{Sender: sender,
		Recipients: []mail.Recipient{{Address: recipient, Domain: mail.DomainOf(recipient)}}}
	n.queue.Submit(env, &mail.Content{Chunks: [][]byte{[]byte("x\r\n")}, Size: 3},
		func(id mail.ID, f *smtp.Failure) {
			if f != nil {
				t.Error(f)
			}
			done <- id
		})
	return (<-done).String()
}

// postroad runs one command line.
func postroad(t *testing.T, stdin string, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	c := &cli.Console{In: strings.NewReader(stdin), Out: &o, Err: &e}
	status = runLine(t.Context(), c, args)
	return status, o.String(), e.String()
}

func TestExitStatusAndAdvice(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.toml")
	os.WriteFile(bad, []byte("[limits]\nmemry = \"1GiB\"\n"), 0o600)
	t.Setenv("POSTROAD_NODE", filepath.Join(t.TempDir(), "none.sock"))
	for _, c := range []struct {
		args string
		want int
		says string
	}{
		{"", 64, "Usage: postroad COMMAND"},
		{"help", 0, ""},
		{"nonsense", 64, "`postroad help` lists them"},
		{"queue", 64, "release"},
		{"queue nonsense", 64, "`postroad queue help`"},
		{"queue list --nonsense", 64, "--help"},
		{"queue list --state sent", 64, "use ready, inflight, deferred or held"},
		{"queue list --older 5", 64, "90s"},
		{"queue list --id short", 65, "queue list"},
		{"queue show", 64, "one ID"},
		{"queue hold", 64, "--all"},
		{"queue hold --domain a.example --domain b.example", 64, "--domain is given twice"},
		{"queue remove --older 1h x --older 2h", 64, "--older is given twice"},
		{"queue list --state held --state ready --id 06g3k2v8q4w0a1b2 --id 06g3k2v8q4w0a1b3 " +
			"--json --json", 69, "postroad serve"},
		{"cluster status --node /a --node=/b", 64, "--node is given twice"},
		{"suspend list --reason x", 64, "\"list\" is one argument too many"},
		{"queue release", 64, "--all"},
		{"queue fail", 64, "--all"},
		{"queue remove", 64, "--all"},
		{"queue remove --id -", 64, "no IDs"},
		{"queue list", 69, "postroad serve"},
		{"queue list --config " + bad, 78, bad + ":2:1: limits.memry"},
		{"config check --config " + bad, 78, "did you mean limits.memory?"},
		{"config check " + bad + " more", 64, "too many"},
		{"config check --config /none", 78, "/none"},
		{"config check", 0, "embedded default is good"},
		{"user add", 64, "alice@example.net"},
		{"user add alice", 65, "user@domain"},
		{"user add a@example.net", 64, "--password-stdin"},
		{"user list", 69, "postroad serve"},
		{"version more", 64, "too many"},
		{"trace", 64, "--recipient"},
		{"trace short", 65, "not a message ID"},
		{"trace --recipient a@example.net --since 4", 64, "90s"},
		{"trace --recipient a@example.net", 69, "postroad serve"},
		{"cluster status", 69, "postroad serve"},
		{"cluster drain", 64, "needs NODE"},
		{"cluster drain mx1 mx2", 64, "too many"},
		{"cluster replace mx1", 64, "needs OLD NEW"},
		{"cluster replace mx1 mx1", 65, "joins under another name"},
		{"cluster token --ttl 5", 64, "90s"},
		{"cluster join --token x", 64, "mx1.example.net:7025"},
		{"cluster join --token x mx1.example.net", 64, "is not HOST:PORT"},
		{"cluster join mx1.example.net:7025", 64, "postroad cluster token"},
		{"cluster join --token - mx1.example.net:7025", 64, "postroad cluster token"},
		{"cluster join --token x --token-file y mx1.example.net:7025", 64, "leave one out"},
		{"cluster join --token x --config /none mx1.example.net:7025", 78, "/none"},
		{"cluster restore", 64, "cluster.backup"},
		{"cluster restore /none", 65, "/none"},
		{"cluster backup", 64, "needs FILE"},
	} {
		status, _, errs := postroad(t, "", strings.Fields(c.args)...)
		if status != c.want || !strings.Contains(errs, c.says) {
			t.Errorf("postroad %s: exit %d, want %d; %s", c.args, status, c.want, errs)
		}
	}
}

func TestEveryCommandHasHelp(t *testing.T) {
	var visit func(path []string, rows []cli.Command)
	visit = func(path []string, rows []cli.Command) {
		for _, row := range rows {
			args := append(path[:len(path):len(path)], row.Name)
			visit(args, row.Sub)
			for _, args := range [][]string{append(args[:len(args):len(args)], "--help"),
				append([]string{"help"}, args...)} {
				status, out, errs := postroad(t, "", args...)
				if status != 0 || errs != "" ||
					!strings.HasPrefix(out,
						"Usage: postroad "+
							strings.Join(append(path[:len(path):len(path)], row.Name), " ")) {
					t.Errorf("postroad %v: exit %d\n%s%s", args, status, out, errs)
				}
			}
		}
	}
	visit(nil, commands())
}

func TestQueueCommands(t *testing.T) {
	n := startCLINode(t)
	first, second := n.submit(t, "a@example.org", "b@example.net"), n.submit(t, "", "c@example.com")
	run := func(stdin string, args ...string) (string, string) {
		t.Helper()
		status, out, errs := postroad(t, stdin, append([]string{"queue"}, args...)...)
		if status != 0 {
			t.Fatalf("queue %v: exit %d: %s", args, status, errs)
		}
		return out, errs
	}
	out, errs := run("", "list")
	want := regexp.MustCompile(`^` + first +
		`  ready        \ds        3B  from <a@example.org>\n    ready    to <b@example.net>\n` +
		second + `  ready  .*from <>\n    ready    to <c@example.com>\n$`)
	if !want.MatchString(out) ||
		!strings.HasPrefix(errs, "2 messages, 2 recipients (2 ready) at index ") {
		t.Errorf("list:\n%s%s", out, errs)
	}
	out, errs = run("", "list", "--json", "--domain", "example.com")
	var m api.Message
	if err := json.Unmarshal([]byte(out), &m); err != nil || strings.Count(out, "\n") != 1 ||
		m.QueueID != second || errs != "" {
		t.Errorf("list --json: %v\n%s%s", err, out, errs)
	}
	if _, errs = run(first+"\n", "hold", "--id", "-"); errs != "1 recipient of 1 message held\n" {
		t.Errorf("hold: %s", errs)
	}
	if out, _ = run("", "count", "--state", "held"); !strings.HasPrefix(out,
		"1 message, 1 recipient (1 held) at index ") {
		t.Errorf("count: %s", out)
	}
	if out, _ = run("", "show", first, "--json"); !strings.Contains(out, `"state":"held"`) {
		t.Errorf("show: %s", out)
	}
	if out, _ = run("", "show", first); !strings.Contains(out, "\nfrom         <a@example.org>\n") {
		t.Errorf("show: %s", out)
	}
	if _, errs = run("", "release", "--all"); errs != "1 recipient of 1 message released\n" {
		t.Errorf("release: %s", errs)
	}
	if _, errs = run("", "fail", first, "--reason",
		"moved away"); errs != "1 recipient of 1 message failed\n" {
		t.Errorf("fail: %s", errs)
	}
	if out, _ = run("", "show", first); !strings.Contains(out, "moved away") {
		t.Errorf("show of a failed recipient: %s", out)
	}
	if out, _ = run("", "remove", "--sender", "<>", "--json"); !strings.Contains(out,
		`"removed":1`) {
		t.Errorf("remove: %s", out)
	}
}

func TestUserCommands(t *testing.T) {
	startCLINode(t)
	for _, c := range []struct {
		stdin, args string
		want        int
		says        string
	}{
		{"secret\n",
			"add alice@example.net --password-stdin --tenant t1 --sender @example.org " +
				"--messages 500/h", 0, "alice@example.net added"},
		{"secret\n", "add alice@example.net --password-stdin", 65, "user passwd"},
		{"\n", "add bob@example.net --password-stdin", 65, "no password"},
		{"other", "passwd alice@example.net --password-stdin --scram", 0, "has another password"},
		{"", "list", 0,
			"alice@example.net  tenant t1  also sends as @example.org  messages 500/h  SCRAM\n"},
		{"", "list --json", 0, `"name":"alice@example.net"`},
		{"", "remove bob@example.net", 65, "user list"},
		{"", "remove alice@example.net", 0, "alice@example.net removed"},
		{"", "add x@example.net --messages ten", 64, "10/s"},
	} {
		status, out,
			errs := postroad(t, c.stdin, append([]string{"user"}, strings.Fields(c.args)...)...)
		if status != c.want || !strings.Contains(out+errs, c.says) ||
			strings.Contains(out+errs, "secret") {
			t.Errorf("user %s: exit %d, want %d\n%s%s", c.args, status, c.want, out, errs)
		}
	}
}

func TestVersion(t *testing.T) {
	_, out, _ := postroad(t, "", "version")
	var v map[string]string
	_, js, _ := postroad(t, "", "version", "--json")
	if err := json.Unmarshal([]byte(js), &v); err != nil ||
		!strings.HasPrefix(out, "postroad "+v["version"]+" (") {
		t.Errorf("%v: %s%s", err, out, js)
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

// TestTerminalIsNotSteered: what strangers wrote is printed, but cannot move the cursor.
func TestTerminalIsNotSteered(t *testing.T) {
	var out bytes.Buffer
	c := &cli.Console{Out: &out}
	m := api.Message{Sender: "\x1b[2Jé@x",
		Recipients: []api.Recipient{{Address: "a\u009bb@x", DelayReason: "450 \r\nX"}}}
	if err := printMessage(c, &m); err != nil ||
		strings.ContainsAny(out.String(), "\x1b\r\u009b") ||
		strings.Count(out.String(), "\n") != 2 || !strings.Contains(out.String(), "é") {
		t.Errorf("%q", out.String())
	}
}
