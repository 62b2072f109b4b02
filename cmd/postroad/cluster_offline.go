package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"

	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/node"
	"github.com/postroad/postroad/node/offline"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/cmdline"
)

const joinHelp = `
Works on this machine, without a running node: the data directory must be empty. HOST:PORT is the cluster address of any node; its
certificates, users and the pushed configuration arrive by themselves. A configuration that does not agree with that is refused (78).
Then start the node.

    postroad cluster join --token-file token --config /etc/postroad/postroad.toml mx1.example.net:7025
    postroad serve --config /etc/postroad/postroad.toml`

const recoverHelp = `
For when a majority of a group's disks is gone for good: what a lost disk alone had is lost with it. Works on this machine, on the data
directory of a node that is left and does not run; says which groups have lost their majority and what may be lost. With --accept-loss
they go on with what is here, under a new identity, so that the old disks, should they turn up, are refused; not while other members
answer and have a leader.

    postroad cluster recover --config /etc/postroad/postroad.toml
    postroad cluster recover --config /etc/postroad/postroad.toml --accept-loss`

const restoreHelp = `
Works on this machine, without a running node. The node becomes the first of the cluster that the backup is of; the other nodes join anew.
If it was a member of a cluster that is no more, remove the note of that before (postroad.toml.member; a refusal names it).

    postroad cluster restore cluster.backup`

// stopped is what works on a data directory on which no node runs. Tests put others in their place.
var stopped = struct {
	join func(ctx context.Context, file string, cfg *config.Config, address, token string,
		say func(format string, args ...any)) error
	recover func(ctx context.Context, file string, cfg *config.Config, acceptLoss bool,
		tell func(string)) error
	restore func(ctx context.Context, file string, cfg *config.Config, backup io.Reader) error
	salvage func(ctx context.Context, cfg *config.Config, o offline.SalvageOptions, print,
		tell func(string)) error
}{node.Join, offline.Recover, offline.Restore, offline.Salvage}

// loadOffline reads the configuration of the node whose data directory is meant, and says which
// that is when nobody has named it.
func loadOffline(c *cli.Console, named *cmdline.File) (cfg *config.Config, file string, err error) {
	file = named.Name()
	if cfg, err = config.Load(file); err != nil {
		return nil, "", cmdline.ConfigError(err)
	}
	if !named.Given {
		fmt.Fprintf(c.Err, "the configuration is %s, the data directory %s\n",
			cmp.Or(file, "the embedded default"), cfg.Node.DataDir)
	}
	return cfg, file, nil
}

func runClusterJoin(ctx context.Context, c *cli.Console, args []string) error {
	fs := c.Flags()
	var named cmdline.File
	named.Register(fs, "the configuration `FILE` of the new node")
	token := fs.String("token", "",
		"the `TOKEN` of `postroad cluster token`; - reads it from standard input")
	tokenFile := fs.String("token-file", "", "a `FILE` with the token in its first line")
	rest, err := c.Parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return cli.Usage("the address of a node of the cluster is missing",
			"for example: "+c.Path+" --token TOKEN mx1.example.net:7025")
	}
	if err := cli.NoMore(rest[1:]); err != nil {
		return err
	}
	if host, port, err := net.SplitHostPort(rest[0]); err != nil || host == "" || port == "" {
		return cli.Usage(fmt.Sprintf("%q is not HOST:PORT", rest[0]),
			"give the address of a node's cluster port, as in mx1.example.net:7025")
	}
	secret, err := joinToken(c, *token, *tokenFile)
	if err != nil {
		return err
	}
	cfg, file, err := loadOffline(c, &named)
	if err != nil {
		return err
	}
	say := func(format string, args ...any) { fmt.Fprintf(c.Err, format+"\n", args...) }
	if err := stopped.join(ctx, file, cfg, rest[0], secret, say); err != nil {
		return notJoined(err)
	}
	keepNote(c, file, cfg)
	fmt.Fprintf(c.Err, "%s has joined; start it with `%s`\n", cfg.Node.Name, named.Serve())
	return nil
}

// notJoined gives a join that failed its exit status, and says what to do.
func notJoined(err error) error {
	e := &api.Error{Message: err.Error()}
	switch {
	case errors.As(err, new(*api.Error)):
		return err
	case errors.Is(err, wire.ErrJoinDenied):
		e.Exit = api.ExitConfig
	case errors.Is(err, wire.ErrNotNow):
		e.Exit = api.ExitTemporary
		e.Hint = "try again; `postroad cluster status` there shows what is wrong"
	case errors.Is(err, wire.ErrToken):
		e.Exit = api.ExitPermission
		e.Hint = "`postroad cluster token` on a node of the cluster makes a new one"
	case errors.Is(err, wire.ErrShortToken):
		e.Exit = api.ExitData
	case errors.As(err, new(*net.OpError)), errors.As(err, new(tls.RecordHeaderError)),
		errors.Is(err, io.EOF), errors.Is(err, context.DeadlineExceeded):
		e.Exit = api.ExitUnavailable
		e.Hint = "give the cluster address (cluster.advertise) of a node that runs"
	default:
		return err
	}
	return e
}

// joinToken takes the token from where it is.
func joinToken(c *cli.Console, token, file string) (secret string, err error) {
	switch {
	case token != "" && file != "":
		return "", cli.Usage("--token and --token-file are both given", "leave one out")
	case file != "":
		secret, err = config.ReadSecret(file)
	case token == "-":
		secret, err = askPassword(c, true)
	default:
		secret = token
	}
	if err != nil && file != "" && !errors.As(err, new(*fs.PathError)) { // those have a place
		return "", api.Fail(api.ExitData, "the token file: "+err.Error(), "")
	}
	if err != nil {
		return "", err
	}
	if secret = strings.TrimSpace(secret); secret == "" {
		return "", cli.Usage("the token is missing",
			"`postroad cluster token` on a node of the cluster makes one")
	}
	return secret, nil
}

func runClusterRecover(ctx context.Context, c *cli.Console, args []string) error {
	fs := c.Flags()
	var named cmdline.File
	named.Register(fs, "the configuration `FILE` of the node that is left")
	accept := fs.Bool("accept-loss", false, "go on with what is here, and give up what is not")
	rest, err := c.Parse(fs, args)
	if err != nil {
		return err
	}
	if err := cli.NoMore(rest); err != nil {
		return err
	}
	cfg, file, err := loadOffline(c, &named)
	if err != nil {
		return err
	}
	if err := stopped.recover(ctx, file, cfg, *accept,
		func(line string) { fmt.Fprintln(c.Err, line) }); err != nil {
		return err
	}
	if !*accept {
		return nil
	}
	fmt.Fprintf(c.Err, "start it with `%s`, then let new nodes join\n", named.Serve())
	return nil
}

func runClusterRestore(ctx context.Context, c *cli.Console, args []string) error {
	fs := c.Flags()
	var named cmdline.File
	named.Register(fs, "the configuration `FILE` of the node")
	rest, err := c.Parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return cli.Usage("one backup is needed", "for example: "+c.Path+" cluster.backup")
	}
	cfg, file, err := loadOffline(c, &named)
	if err != nil {
		return err
	}
	backup := c.In
	if rest[0] != "-" {
		f, err := os.Open(rest[0])
		if err != nil {
			return &api.Error{Exit: api.ExitData, Message: err.Error(),
				Hint: "`postroad cluster backup FILE` makes one"}
		}
		defer f.Close()
		backup = f
	}
	if err := stopped.restore(ctx, file, cfg, backup); err != nil {
		return err
	}
	keepNote(c, file, cfg)
	fmt.Fprintf(c.Err, "%s is restored; start it with `%s`, then let the other nodes join\n",
		cfg.Node.Name, named.Serve())
	return nil
}

// keepNote notes who the node is, outside its data directory. The command has done its work
// without.
func keepNote(c *cli.Console, file string, cfg *config.Config) {
	if err := offline.NoteMember(file, cfg); err != nil {
		fmt.Fprintln(c.Err, err)
	}
}
