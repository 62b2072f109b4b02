package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/files"
	"github.com/postroad/postroad/node/operator"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/client"
	"github.com/postroad/postroad/operate/admin/cmdline"
)

// clusterCommands are in the order of a cluster's life. Those that need a running node talk to any;
// cluster_offline.go has the others.
var clusterCommands = []cli.Command{
	{Name: "init", Short: "make a running node the first of a cluster", Run: runClusterInit, Long: `
Does nothing when the node is in a cluster already. A node that waits to join the others of [cluster] join begins one without them: be sure
that none of them knows one, or there are two.

    postroad cluster init`},
	{Name: "token", Args: "[list | revoke] [--ttl TIME] [--uses N | --reusable]", Short: "make a secret with which a node can join", Run: runClusterToken, Long: `
The token is printed on standard output. Whoever has it can join a node, which then holds everybody's mail: hand it over as you would a password.
It lets in one node, unless --uses or --reusable say otherwise; that node may repeat a join that was cut off. list shows how the tokens begin that are good, and until when; revoke ends them all. A removal or replacement ends those that were made for a time.

    postroad cluster token --ttl 1h
    postroad cluster token revoke`},
	{Name: "join", Args: "--token TOKEN [--config FILE] HOST:PORT",
		Short: "make an empty data directory a node of a cluster", Run: runClusterJoin,
		Long: joinHelp},
	{Name: "status", Args: "[--json]", Short: "show the nodes, the groups and what is wrong", Run: runClusterStatus, Long: `
Shows how many nodes more may die without a stop anywhere, each node and group, what is on the move, and last what to look after. The exit status is 75
when the node that is asked reaches no majority: members and groups may be others by now.

    postroad cluster status`},
	{Name: "drain", Args: "NODE [--timeout TIME]", Short: "empty a node and take it out of service", Run: runClusterDrain, Long: `
The node stops accepting, hands over what it leads, and its queue runs empty: what is due soon is delivered, what is held, suspended or due
later goes to other nodes as it is. It ends with yes (exit status 0: the node can be removed) or no (75). Interrupted, the node goes on
draining: run it again to watch.

    postroad cluster drain mx3 --timeout 10m`},
	{Name: "undrain", Args: "NODE", Short: "have a node that is being drained take part again", Run: runClusterChange, Long: `
The node accepts mail again and gets places of groups; a drain that somebody watches ends. What was handed over stays where it is.

    postroad cluster undrain mx3`},
	{Name: "remove", Args: "NODE", Short: "retire a drained node for ever", Run: runClusterChange, Long: `
The node must have been drained. It may never come back as it was: a new one joins with an empty data directory.

    postroad cluster remove mx3`},
	{Name: "replace", Args: "OLD NEW", Short: "give a dead node's places to one that has joined", Run: runClusterChange, Long: `
All groups of OLD are repaired with NEW, and OLD is removed: it may never come back under its old number.

    postroad cluster replace mx3 mx4`},
	{Name: "recover", Args: "[--accept-loss] [--config FILE]",
		Short: "go on without a majority of the disks, which are gone for good",
		Run:   runClusterRecover, Long: recoverHelp},
	{Name: "backup", Args: "FILE | - [--with-keys]", Short: "save members, users and settings", Run: runClusterBackup, Long: `
The file holds what lets nodes join and users' password hashes: keep it as safe as a password. Private keys of DKIM are in it sealed; with --with-keys
what opens them is in it, too, and a cluster that is restored from it signs as before. Mail is not in it.

    postroad cluster backup cluster.backup`},
	{Name: "restore", Args: "[--config FILE] FILE | -",
		Short: "begin a cluster anew from a backup, in an empty data directory",
		Run:   runClusterRestore, Long: restoreHelp},
}

// connect parses the arguments of a command that takes want names of nodes, and returns a client.
func connect(
	c *cli.Console, fs *flag.FlagSet, args []string, want int,
) (*client.Client, []string, error) {
	var n cmdline.Node
	n.Register(fs)
	rest, err := c.Parse(fs, args)
	if err != nil {
		return nil, nil, err
	}
	if len(rest) < want {
		return nil, nil, cli.Usage("`"+c.Path+"` needs "+c.Command.Args,
			"`postroad cluster status` lists the nodes")
	}
	if err := cli.NoMore(rest[want:]); err != nil {
		return nil, nil, err
	}
	client, err := n.Client()
	return client, rest, err
}

// timeFlag is a flag with a time such as 90m or 4d.
func timeFlag(fs *flag.FlagSet, name, about string, value config.Duration) *config.Duration {
	fs.Func(name, about, func(s string) error { return value.UnmarshalText([]byte(s)) })
	return &value
}

// initWait is how long a node that waited for others may take to begin a cluster.
const initWait = 20 * time.Second

func runClusterInit(ctx context.Context, c *cli.Console, args []string) error {
	client, _, err := connect(c, c.Flags(), args, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.ClusterChange(ctx, "init", api.ClusterRequest{}); err != nil {
		return err
	}
	st, err := clusterStatus(ctx, client)
	for end := time.Now().Add(initWait); err != nil && ctx.Err() == nil &&
		time.Now().Before(end); st, err = clusterStatus(ctx, client) {
		time.Sleep(initWait / 100) // one that waited to join begins only now
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Err,
		"%s is a node of the cluster %s; `postroad cluster token` lets another one join\n", st.Node,
		st.Cluster)
	return nil
}

func clusterStatus(ctx context.Context, client *client.Client) (st api.ClusterStatus, err error) {
	raw, err := client.ClusterStatus(ctx)
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal(raw, &st)
}

func runClusterToken(ctx context.Context, c *cli.Console, args []string) error {
	fs := c.Flags()
	ttl := timeFlag(fs, "ttl",
		"how long it is good, a `TIME` such as 1h; 0s: for ever (default 1h)",
		config.Duration(time.Hour))
	uses := fs.Int("uses", 1, "it lets in `N` nodes")
	reusable := fs.Bool("reusable", false, "it lets in any number of nodes")
	verb := ""
	i := slices.IndexFunc(args, func(a string) bool { return a == "list" || a == "revoke" })
	if i >= 0 {
		verb, args = args[i], slices.Delete(slices.Clone(args), i, i+1)
	}
	client, _, err := connect(c, fs, args, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	switch verb {
	case "list":
		all, err := client.Tokens(ctx)
		for i := range all {
			fmt.Fprintln(c.Out, cli.Clean(all[i].String()))
		}
		if err == nil && len(all) == 0 {
			fmt.Fprintln(c.Err, "no token is good; `postroad cluster token` makes one")
		}
		return err
	case "revoke":
		err := client.ClusterChange(ctx, verb, api.ClusterRequest{})
		if err == nil {
			fmt.Fprintln(c.Err, "no join token is good any more")
		}
		return err
	}
	if *uses < 1 {
		return cli.Usage(fmt.Sprintf("--uses %d: a token is for one node at least", *uses), "")
	}
	if *reusable {
		*uses = 0
	}
	token, err := client.Token(ctx, time.Duration(*ttl), *uses)
	if err != nil {
		return err
	}
	st, err := clusterStatus(ctx, client)
	if err != nil {
		return err
	}
	address := "HOST:PORT"
	for _, m := range st.Members {
		if m.Self {
			address = m.Address
		}
	}
	good := "for ever"
	if *ttl > 0 {
		good = "for " + ttl.String()
	}
	fmt.Fprintf(c.Err, "good %s; on the new node: postroad cluster join --token - %s\n", good,
		address)
	if host, _, err := net.SplitHostPort(address); err == nil &&
		net.ParseIP(host).IsLoopback() {
		fmt.Fprintf(c.Err, "%s is reached from this machine only: for others, set cluster.listen "+
			"and cluster.advertise, and restart the node\n", host)
	}
	_, err = fmt.Fprintln(c.Out, token)
	return err
}

func runClusterStatus(ctx context.Context, c *cli.Console, args []string) error {
	fs := c.Flags()
	asJSON := fs.Bool("json", false, "print one JSON object")
	client, _, err := connect(c, fs, args, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	raw, err := client.ClusterStatus(ctx)
	if err != nil {
		return err
	}
	var st api.ClusterStatus
	if err := json.Unmarshal(raw, &st); err != nil {
		return err
	}
	if *asJSON {
		err = c.Line(raw)
	} else {
		err = operator.PrintStatus(c, &st)
	}
	if err == nil && st.Old != "" {
		err = &api.Error{Exit: api.ExitTemporary,
			Message: "members and groups may be others by now: " + cli.Clean(st.Old),
			Hint:    "try again, or ask another node"}
	}
	return err
}

func runClusterDrain(ctx context.Context, c *cli.Console, args []string) error {
	fs := c.Flags()
	timeout := timeFlag(fs, "timeout",
		"say no after this `TIME` (default: wait as long as it takes)", 0)
	client, rest, err := connect(c, fs, args, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	if *timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(*timeout))
		defer cancel()
	}
	shown, last, handed := c.Progress(""), rest[0]+" was not reached", int64(0)
	err = client.Drain(ctx, rest[0], func(p api.DrainProgress) {
		last, handed = operator.DrainLine(&p), max(handed, p.HandedOver)
		shown.Say(last)
	})
	shown.End()
	if err != nil && ctx.Err() != nil {
		err = &api.Error{Exit: api.ExitTemporary, Message: last,
			Hint: "it goes on draining; run the command again to watch"}
	}
	if err != nil {
		fmt.Fprintf(c.Err, "no: %s is not drained\n", rest[0])
		return err
	}
	what := "is drained"
	if handed > 0 {
		what += ", " + cli.Number(handed, "message") + " of it handed over to other nodes"
	}
	fmt.Fprintf(c.Err, "yes: %[1]s %s; `postroad cluster remove %[1]s` retires it, "+
		"`postroad cluster undrain %[1]s` keeps it\n", rest[0], what)
	left(ctx, c, client, rest[0])
	return nil
}

// left says what the nodes that are left mean, besides those that are named, where they are few.
func left(ctx context.Context, c *cli.Console, client *client.Client, without string) {
	if st, err := clusterStatus(ctx, client); err == nil {
		if advice := operator.FewLeft(&st, without); advice != "" {
			fmt.Fprintln(c.Err, "without "+without+", "+advice)
		}
	}
}

// runClusterChange runs remove, replace and undrain.
func runClusterChange(ctx context.Context, c *cli.Console, args []string) error {
	verb, want := c.Command.Name, 1
	if verb == "replace" {
		want = 2
	}
	r, did, fs := api.ClusterRequest{}, "is removed for ever", c.Flags()
	if verb == "remove" {
		fs.BoolVar(&r.Force, "force", false, "also a node that is dead and was not drained")
	}
	client, rest, err := connect(c, fs, args, want)
	if err != nil {
		return err
	}
	defer client.Close()
	r.Node = rest[0]
	switch verb {
	case "undrain":
		did = "takes part again"
	case "replace":
		r.New, did = rest[1],
			"is replaced by "+rest[1]+"; `postroad cluster status` shows its groups being repaired"
	}
	if err := r.Check(verb); err != nil {
		return err
	}
	if err := client.ClusterChange(ctx, verb, r); err != nil {
		return err
	}
	fmt.Fprintf(c.Err, "%s %s\n", rest[0], did)
	if verb == "remove" {
		left(ctx, c, client, rest[0])
	}
	return nil
}

func runClusterBackup(ctx context.Context, c *cli.Console, args []string) error {
	fs := c.Flags()
	withKeys := fs.Bool("with-keys", false, "with what opens the private keys of DKIM")
	client, rest, err := connect(c, fs, args, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	if rest[0] == "-" {
		return client.Backup(ctx, c.Out, *withKeys)
	}
	if err := files.ReplaceBy(rest[0], func(w io.Writer) error {
		return client.Backup(ctx, w, *withKeys)
	}); err != nil {
		return err
	}
	fmt.Fprintf(c.Err, "%s holds the cluster's members, users, settings and secrets\n", rest[0])
	return nil
}
