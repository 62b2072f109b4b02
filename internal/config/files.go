package config

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/postroad/postroad/internal/files"
)

// SocketName is the administration socket in the data directory.
const SocketName = "admin.sock"

// SocketPath is where the node of this configuration listens for administration.
func (c *Config) SocketPath() string { return filepath.Join(c.Node.DataDir, SocketName) }

// SocketGroup is the number of the group that may use the administration socket; nil: none may.
func (c *Config) SocketGroup() (*int, error) {
	name := c.Admin.SocketGroup
	if name == "" {
		return nil, nil
	}
	if gid, err := strconv.ParseUint(name, 10, 31); err == nil {
		return new(int(gid)), nil
	}
	g, err := user.LookupGroup(name)
	if errors.As(err, new(user.UnknownGroupError)) {
		return nil, fmt.Errorf("there is no group %q on this machine", clip(name))
	}
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(g.Gid)
	return &gid, err
}

// EventsPath is the event log's file, or "" for none.
func (c *Config) EventsPath() string {
	if c.Events.File == "" || filepath.IsAbs(c.Events.File) {
		return c.Events.File
	}
	return filepath.Join(c.Node.DataDir, c.Events.File)
}

// CheckFiles reports which of the files that the configuration names cannot be used. `config check`
// calls it, and serve before it opens anything.
func (c *Config) CheckFiles(file string) error {
	k := &checker{Config: c, file: file}
	k.oldDataDir(c.written)
	k.certificate("tls", c.TLS.Certificate, c.TLS.Key)
	for i, more := range c.Certificates {
		key := "certificate[" + strconv.Itoa(i) + "]"
		if leaf := k.certificate(key, more.Certificate, more.Key); leaf != nil {
			k.must(len(more.Names) > 0 || len(leaf.DNSNames) > 0, key+".names",
				"is empty, and the certificate has no names", "name those that it is for")
		}
	}
	for i, r := range c.Routes {
		k.secret("route["+strconv.Itoa(i)+"].password_file", r.PasswordFile, 1)
	}
	k.secret("ldap.password_file", c.LDAP.PasswordFile, 1)
	k.secret("admin.token_file", c.Admin.TokenFile, minToken)
	k.secret("cluster.token_file", c.Cluster.TokenFile, minToken)
	if _, err := c.SocketGroup(); err != nil {
		k.bad("admin.socket_group", err.Error(), "`groupadd --system NAME` makes one")
	}
	return k.problems.asError()
}

// minToken is the fewest characters of the administration token: enough that it cannot be guessed.
const minToken = 16

// certificate returns a certificate, or nil if there is none that can be used.
func (k *checker) certificate(section, cert, key string) *x509.Certificate {
	if cert == "" || key == "" {
		return nil
	}
	if err := files.Private(key); err != nil {
		k.bad(section+".key", err.Error(), "its certificate may be read by everybody")
		return nil
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err == nil && pair.Leaf == nil {
		pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0])
	}
	if err != nil {
		k.bad(section+".certificate", err.Error(),
			"both must be PEM files that belong together and that this user may read")
	}
	return pair.Leaf
}

func (k *checker) secret(key, path string, least int) {
	if path == "" {
		return
	}
	s, err := ReadSecret(path)
	if err != nil {
		k.bad(key, err.Error(), "the file must exist, and this user be allowed to read it and "+
			"others not")
		return
	}
	k.must(len(s) >= least, key, fmt.Sprintf("the first line of %s has %d characters", path,
		len(s)),
		fmt.Sprintf("use at least %d", least))
}

// ReadSecret returns the first line of a file that holds a password or a token, unless everybody
// can read it.
func ReadSecret(path string) (string, error) {
	if err := files.Private(path); err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}
