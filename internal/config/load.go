package config

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/pelletier/go-toml/v2"
)

// maxFile bounds the octets of a configuration file.
const maxFile = 1 << 20

// Load reads and checks the configuration file at path; "" is the embedded default. Its error is a Problems unless the file
// could not be read.
func Load(path string) (*Config, error) {
	if path == "" {
		c := Default()
		return c, c.Check("")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return Parse(path, data)
}

// Parse is Load for the content of a file; name is only for its problems.
func Parse(name string, data []byte) (*Config, error) {
	if len(data) > maxFile {
		return nil, Problems{{File: name, What: fmt.Sprintf("is larger than %v", Size(maxFile))}}
	}
	where, problems := walk(name, data)
	if len(problems) > 0 {
		return nil, problems
	}
	c := defaults()
	if err := toml.Unmarshal(data, c); err != nil {
		return nil, decodeProblem(name, err)
	}
	c.where = where
	c.complete(where)
	if err := c.Check(name); err != nil {
		return nil, err
	}
	return c, nil
}

// decodeProblem is for what only the decoder finds: a key or a table that is given twice.
func decodeProblem(name string, err error) Problems {
	p := Problem{File: name, What: err.Error()}
	var de *toml.DecodeError
	if errors.As(err, &de) {
		p.Line, p.Column = de.Position()
		for _, k := range de.Key() {
			p.Key = join(p.Key, quoteKey(k))
		}
	}
	return Problems{p}
}
