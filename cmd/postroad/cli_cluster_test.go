package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/files"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/node/operator"
	"github.com/postroad/postroad/operate/admin/api"
)

// cliCluster is a cluster of three nodes, one of which is gone and cannot be drained.
type cliCluster struct{}

func (*cliCluster) Status(context.Context) (api.ClusterStatus, error) {
	return api.ClusterStatus{
		Cluster: "c1", Node: "mx1",
		Members: []api.MemberStatus{
			{ID: 1, Name: "mx1", Address: "192.0.2.1:7025", State: "active", Version: "1.2",
				Protocol: 2, Reachable: true, Self: true, Ready: "ready"},
			{ID: 3, Name: "mx-three", Address: "192.0.2.3:7025", State: "active", Protocol: 1,
				Ready: "no answer",
				Since: api.At(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))},
		},
		Groups: []api.GroupStatus{
			{ID: 1, Kind: "control", Leader: "mx1", State: "serving",
				Voters: []string{"mx1", "mx-three"},
				Lag:    map[string]uint64{"mx-three": 42, "mx1": 0}},
			{ID: 4, Kind: "queue", Home: "mx-three", State: "serving",
				Voters: []string{"mx1", "mx-three"}},
			{ID: 5, Kind: "mailbox", Shard: new(int), Home: "mx1", Leader: "mx1", State: "serving",
				Voters: []string{"mx1", "mx2"}, Messages: new(int64(9)),
				Moves: []api.Move{{Node: "mx-three", Phase: api.MoveCopies, Octets: 3 << 20,
					Of: 12 << 20}, {Node: "mx4", Phase: api.MoveCatchesUp, Behind: 300},
					{Node: "mx2", Phase: api.MoveLeaves}}},
		},
		Problems: []string{"mx-three does not answer:\x1b bring it back"},
	}, nil
}
func (*cliCluster) Init(context.Context) error { return nil }
func (*cliCluster) Token(_ context.Context, _ time.Duration, uses int) (string, error) {
	return fmt.Sprint("pr1-secret-", uses), nil
}
func (*cliCluster) Tokens(context.Context) []api.JoinToken {
	return []api.JoinToken{{Begins: "pr1-abcd"}}
}
func (*cliCluster) Revoke(context.Context) error                  { return nil }
func (*cliCluster) Undrain(context.Context, string) error         { return nil }
func (*cliCluster) Remove(context.Context, string, bool) error    { return nil }
func (*cliCluster) Replace(context.Context, string, string) error { return nil }
func (*cliCluster) Backup(_ context.Context, w io.Writer, _ bool) error {
	_, err := io.WriteString(w, "backup")
	return err
}
func (*cliCluster) Drain(ctx context.Context, node string, progress func(api.DrainProgress)) error {
	if node == "mute" {
		progress(api.DrainProgress{Node: node, Phase: "waiting", Unknown: "nobody leads"})
	} else {
		progress(api.DrainProgress{Node: node, Phase: "waiting for deliveries", Messages: 3,
			HandedOver: 2})
	}
	if node == "slow" || node == "mute" {
		<-ctx.Done()
		return ctx.Err()
	}
	if node == "mx-three" {
		return errors.New("group 4 has no leader")
	}
	return nil
}

func TestClusterCommands(t *testing.T) {
	startCLINode(t)
	for _, c := range []struct {
		args string
		want int
		says string
	}{
		{"init", 0, "mx1 is a node of the cluster c1"},
		{"token --ttl 2h", 0, "postroad cluster join --token - 192.0.2.1:7025"},
		{"token --ttl 0s", 0, "good for ever"},
		{"drain mx1", 0,
			"yes: mx1 is drained, 2 messages of it handed over to other nodes; `postroad " +
				"cluster remove mx1`"},
		{"drain mute --timeout 1s", 75,
			"postroad: mute: waiting, how many messages are left is not known: nobody leads\n  " +
				"it goes on"},
		{"drain mx-three", 75, "no: mx-three is not drained\npostroad: group 4 has no leader"},
		{"drain slow --timeout 1s", 75,
			"no: slow is not drained\npostroad: slow: waiting for deliveries, 3 messages left, " +
				"2 messages handed over\n  it goes on"},
		{"remove mx1", 0, "mx1 is removed for ever"},
		{"replace mx-three mx4", 0, "mx-three is replaced by mx4"},
		{"status --json", 0, `"cluster":"c1"`},
		{"backup -", 0, "backup"},
	} {
		status, out,
			errs := postroad(t, "", append([]string{"cluster"}, strings.Fields(c.args)...)...)
		if status != c.want || !strings.Contains(out+errs, c.says) {
			t.Errorf("cluster %s: exit %d, want %d\n%s%s", c.args, status, c.want, out, errs)
		}
		if strings.Contains(errs, "pr1-secret") || strings.HasPrefix(c.args, "token") &&
			out != "pr1-secret-1\n" {
			t.Errorf("cluster %s: the token belongs on standard output alone\n%s%s", c.args, out,
				errs)
		}
	}
}

func TestTokensAreListed(t *testing.T) {
	startCLINode(t)
	if status, out, errs := postroad(t, "", "cluster", "token", "list"); status != 0 ||
		out != "pr1-abcd...  for any number of nodes, good until it is revoked "+
			"(cluster.token_file, or --ttl 0s)\n" {
		t.Errorf("exit %d\n%s%s", status, out, errs)
	}
	for args, want := range map[string]string{"": "pr1-secret-1\n", "--uses 3": "pr1-secret-3\n",
		"--reusable": "pr1-secret-0\n", "--uses 0": ""} {
		_, out, errs := postroad(t, "",
			append([]string{"cluster", "token"}, strings.Fields(args)...)...)
		if out != want {
			t.Errorf("cluster token %s: %s%s", args, out, errs)
		}
	}
	if status, out, errs := postroad(t, "", "cluster", "token", "revoke"); status != 0 ||
		out+errs != "no join token is good any more\n" {
		t.Errorf("exit %d\n%s%s", status, out, errs)
	}
}

func TestClusterStatusIsATable(t *testing.T) {
	startCLINode(t)
	_, out, _ := postroad(t, "", "cluster", "status")
	want := `cluster c1, as mx1 sees it: 1 group without a leader, of which nothing more is known

NODE  NAME      STATE   ADDRESS         VERSION  PROTOCOL  HEALTH
1     mx1       active  192.0.2.1:7025  1.2      2         ready (this node)
3     mx-three  active  192.0.2.3:7025  -        1         no answer since 2026-01-02T03:04:05Z

GROUP  KIND     HOME      LEADER  STATE    VOTERS        NON-VOTERS  LAG          MAY DIE  MESSAGES
1      control  -         mx1     serving  mx1,mx-three  -           mx-three:42  0        -
4      queue    mx-three  none    unknown  mx1,mx-three  -           -            ?        ?
5      mailbox  shard 0   mx1     serving  mx1,mx2       -           -            0        9

On the move:
  group 5 (mailboxes, shard 0): mx-three copies, 3.0 MiB of about 12.0 MiB (25 %)
  group 5 (mailboxes, shard 0): mx4 catches up, 300 entries behind
  group 5 (mailboxes, shard 0): mx2 leaves

What to look after:
  mx-three does not answer:? bring it back
`
	if out != want {
		t.Errorf("status:\n%s\nwant:\n%s", out, want)
	}
}

func TestBackupIsWholeAndPrivate(t *testing.T) {
	startCLINode(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "cluster.backup")
	if status, _, errs := postroad(t, "", "cluster", "backup", path); status != 0 {
		t.Fatal(errs)
	}
	info, err := os.Stat(path)
	content, _ := os.ReadFile(path)
	if err != nil || info.Mode().Perm() != 0o600 || string(content) != "backup" {
		t.Errorf("%v, %q, %v", info, content, err)
	}
	broken := errors.New("broken")
	if err := files.ReplaceBy(path, func(w io.Writer) error {
		io.WriteString(w, "half")
		return broken
	}); err != broken {
		t.Error(err)
	}
	left, _ := os.ReadDir(dir)
	if content, _ := os.ReadFile(path); string(content) != "backup" || len(left) != 1 {
		t.Errorf("after a broken backup: %q, %v", content, left)
	}
}

// TestOfflineCommands: what reaches the functions that work on a data directory, and what is said
// after them.
func TestOfflineCommands(t *testing.T) {
	saved := stopped
	t.Cleanup(func() { stopped = saved })
	var did string
	stopped.join = func(
		_ context.Context, _ string, cfg *config.Config, address, token string,
		_ func(string, ...any),
	) error {
		did = "join " + cfg.Node.Name + " " + address + " " + token
		return nil
	}
	stopped.recover = func(_ context.Context, _ string, _ *config.Config, accept bool,
		tell func(string)) error {
		if did = "recover"; accept {
			did = "recover, with loss"
		}
		tell("group 2 may have lost mail")
		return nil
	}
	stopped.restore = func(_ context.Context, _ string, _ *config.Config, r io.Reader) error {
		b, err := io.ReadAll(r)
		did = "restore " + string(b)
		return err
	}
	dir := t.TempDir()
	cfg, token := filepath.Join(dir, "postroad.toml"), filepath.Join(dir, "token")
	for path, text := range map[string]string{cfg: "[node]\nname = \"mx2\"\ndata_dir = \"" + dir +
		"\"\n", token: "pr1-filed\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		stdin, args string
		want        int
		did, says   string
	}{
		{"", "join --config " + cfg + " --token pr1-x mx1:7025", 0, "join mx2 mx1:7025 pr1-x",
			"mx2 has joined; start it with `postroad serve --config " + cfg + "`"},
		{"pr1-in\n", "join mx1:7025 --config " + cfg + " --token -", 0, "join mx2 mx1:7025 pr1-in",
			"mx2 has joined"},
		{"", "join --config " + cfg + " --token-file " + token + " mx1:7025", 0,
			"join mx2 mx1:7025 pr1-filed", "mx2 has joined"},
		{"", "recover --config " + cfg, 0, "recover", "group 2 may have lost mail"},
		{"", "recover --accept-loss --config " + cfg, 0, "recover, with loss",
			"then let new nodes join"},
		{"saved", "restore --config " + cfg + " -", 0, "restore saved", "mx2 is restored"},
		{"", "restore --config " + cfg + " " + token, 0, "restore pr1-filed\n", "mx2 is restored"},
	} {
		did = ""
		status, _, errs := postroad(t, c.stdin,
			append([]string{"cluster"}, strings.Fields(c.args)...)...)
		if status != c.want || did != c.did || !strings.Contains(errs, c.says) {
			t.Errorf("cluster %s: exit %d, want %d; did %q; %s", c.args, status, c.want, did, errs)
		}
	}
}

func TestTraceCommand(t *testing.T) {
	n := startCLINode(t)
	text := n.submit(t, "a@example.org", "b@example.net")
	id, err := mail.ParseID(text)
	if err != nil {
		t.Fatal(err)
	}
	log, err := maillog.Open(maillog.Options{Events: filepath.Join(os.Getenv("POSTROAD_NODE"),
		"events.jsonl"), Node: "mx1"})
	if err != nil {
		t.Fatal(err)
	}
	r := maillog.Record{Type: maillog.Reception, ID: id, Sender: "a@example.org",
		Recipient: "b@example.net", Recipients: 1, Size: 3, Relay: "client.example",
		Peer: netip.MustParseAddrPort("192.0.2.7:999")}
	log.Log(&r)
	r.Type, r.Attempts, r.Code, r.Enhanced, r.Text, r.PossibleDuplicate = maillog.TransientFailure,
		2, 451, "4.3.0", "later\x1b", true
	log.Log(&r)
	r = maillog.Record{Type: maillog.AdminBounce, ID: id, Recipient: "b@example.net",
		Text: "removed"}
	log.Log(&r)
	if err := log.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	status, out, errs := postroad(t, "", "trace", text)
	want := regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}  mx1  ` + text + `  Reception        from <a@example.org> to <b@example.net>, 3 octets, by client\.example\[192\.0\.2\.7\]
\d.*  TransientFailure to <b@example.net>, attempt 2, client\.example\[192\.0\.2\.7\]: 451 4.3.0 later\?, may be a duplicate: an earlier attempt was cut off
\d.*  AdminBounce      to <b@example.net>, removed
\d.*  in the queue     ready
    ready    to <b@example.net>
$`)
	if status != 0 || !want.MatchString(out) || errs != "" {
		t.Errorf("exit %d\n%s%s", status, out, errs)
	}
	if _, out, _ = postroad(t, "", "trace", "--recipient", "b@example.net",
		"--json"); strings.Count(out, "\n") != 4 ||
		!strings.Contains(out, `"event":{"type":"Reception"`) {
		t.Errorf("--json:\n%s", out)
	}
	if status, _, errs = postroad(t, "", "trace", "--recipient",
		"nobody@example.net"); status != 65 || !strings.Contains(errs, "--since") {
		t.Errorf("nobody: exit %d, %s", status, errs)
	}
}

// TestTotalsInWords: the indexes of several groups, and who was missed.
func TestTotalsInWords(t *testing.T) {
	total := &api.Total{Messages: 3, Recipients: 3, States: map[string]int64{"held": 3},
		Groups: []api.GroupTotal{{Group: 2, Index: 10}, {Group: 4, Index: 7}}}
	want := "3 messages, 3 recipients (3 held) at indexes 2:10 4:7"
	if got := operator.Summary(total); got != want {
		t.Error(got)
	}
	total.Missing = []api.Missing{{Group: 5, Why: "no node that answers owns it"}}
	for verb, want := range map[string]string{
		"hold": "3 recipients of 3 messages held, in the 2 queue groups that answered",
		"": "3 messages, 3 recipients (3 held) at indexes 2:10 4:7, in the 2 queue groups " +
			"that answered",
	} {
		got := operator.Summary(total)
		if verb != "" {
			got = operator.Moved(total, verb, api.Filter{})
		}
		if got != want {
			t.Errorf("with a group missing: %q, want %q", got, want)
		}
	}
	total.Missing = nil
	total.Groups = make([]api.GroupTotal, 9)
	want = "at 9 groups' indexes (--json has them)"
	if got := operator.Summary(total); !strings.HasSuffix(got, want) {
		t.Error(got)
	}
	var errs bytes.Buffer
	c := &cli.Console{Err: &errs}
	if err := tellOthers(c, &api.Total{Unreachable: []string{"mx2", "mx3"}}, nil); err != nil ||
		errs.String() != "complete without mx2, mx3, which could not be reached\n" {
		t.Errorf("%v, %s", err, errs.String())
	}
}
