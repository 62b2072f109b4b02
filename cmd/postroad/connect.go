package main

import (
	"cmp"
	"flag"
	"os"
	"path/filepath"

	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/client"
)

// nodeFlags say which node a command talks to.
type nodeFlags struct {
	config, node string
	version      uint64 // of what was pushed; for config show
}

func (n *nodeFlags) register(fs *flag.FlagSet) {
	fs.StringVar(&n.config, "config", "", "the `FILE` that the node was started with")
	fs.StringVar(&n.node, "node", "",
		"the node: `PATH` of its socket or data directory, or HOST:PORT (default $POSTROAD_NODE)")
}

// client returns a client of the node. The token for HOST:PORT is POSTROAD_TOKEN, or that of the
// configuration file.
func (n *nodeFlags) client() (*client.Client, error) {
	target, token := cmp.Or(n.node, os.Getenv("POSTROAD_NODE")), os.Getenv("POSTROAD_TOKEN")
	if target != "" && n.config == "" {
		return client.New(socketIn(target), token), nil
	}
	cfg, err := config.Load(n.config)
	if err != nil {
		return nil, configError(err)
	}
	if n.node == "" && n.config != "" || target == "" { // --config says more than the environment
		target = cfg.SocketPath()
	}
	if token == "" && cfg.Admin.TokenFile != "" {
		if token, err = config.ReadSecret(cfg.Admin.TokenFile); err != nil {
			return nil, configError(err)
		}
	}
	return client.New(socketIn(target), token), nil
}

// socketIn is the socket in target when that is a data directory.
func socketIn(target string) string {
	if info, err := os.Stat(target); err == nil && info.IsDir() {
		return filepath.Join(target, config.SocketName)
	}
	return target
}

// configError gives an error of reading the configuration its exit status.
func configError(err error) error {
	return &api.Error{Exit: api.ExitConfig, Message: err.Error(),
		Hint: "docs/configuration.md, or `postroad config reference`, has every key"}
}
