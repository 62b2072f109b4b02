package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"syscall"

	"github.com/pelletier/go-toml/v2"
)

// maxFile bounds the octets of a configuration file.
const maxFile = 1 << 20

// Load reads and checks the configuration file at path; "" is the embedded default. If the node of
// that file keeps a pushed configuration (Kept), it is merged with that. Relative names of files in
// it are made to count from the file's folder (places.go). Its error is a Problems unless a file
// could not be read.
func Load(path string) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return parse(path, folderOf(path), data, func(c *Config) (*Shared, error) {
		s, err := Kept(c.Node.DataDir)
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOTDIR) {
			return nil, nil // whoever may not look into it is not the node
		}
		return s, err
	})
}

// LoadWith is Load with a pushed configuration; nil: there is none.
func LoadWith(path string, s *Shared) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return parse(path, folderOf(path), data, func(*Config) (*Shared, error) { return s, nil })
}

func readFile(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
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
	return data, nil
}

// Parse is Load for the content of a file, without a pushed configuration; name is only for its
// problems, and names of files stay as they are.
func Parse(name string, data []byte) (*Config, error) {
	return parse(name, "", data, func(*Config) (*Shared, error) { return nil, nil })
}

func parse(
	name, folder string, data []byte, pushed func(own *Config) (*Shared, error),
) (*Config, error) {
	if len(data) > maxFile {
		return nil, Problems{{File: name, What: fmt.Sprintf("is larger than %v", Size(maxFile))}}
	}
	c := defaults()
	where, problems := decode(name, data, c)
	if len(problems) > 0 {
		return nil, problems
	}
	c.where = where
	c.written = c.Node.DataDir
	c.Node.DataDir = from(folder, c.written) // where what was pushed is kept
	s, err := pushed(c)
	if err == nil {
		err = c.merge(s)
	}
	if err != nil {
		return nil, err
	}
	c.filesFrom(folder)
	c.complete(c.where)
	if err := c.Check(name); err != nil {
		return nil, err
	}
	return c, nil
}

// Decode reads a document of another kind, a scenario of the bench for one, as strictly as a
// configuration: v points to a struct with toml tags, and the error is a Problems with the line and
// column of each key that it does not have and of each value that is none. v keeps what the
// document does not say.
func Decode(name string, data []byte, v any) error {
	_, err := DecodePlaces(name, data, v)
	return err
}

// DecodePlaces is Decode for a caller that checks more than the types do and has to say where.
func DecodePlaces(name string, data []byte, v any) (*Places, error) {
	if len(data) > maxFile {
		return nil, Problems{{File: name, What: fmt.Sprintf("is larger than %v", Size(maxFile))}}
	}
	where, problems := decode(name, data, v)
	return &Places{name, where}, problems.asError()
}

func decode(name string, data []byte, v any) (positions, Problems) {
	where, problems := walk(name, data, reflect.TypeOf(v).Elem())
	if len(problems) > 0 {
		return nil, problems
	}
	if err := toml.Unmarshal(data, v); err != nil {
		return nil, decodeProblem(name, err)
	}
	return where, nil
}

// Places knows where each key of a document stands.
type Places struct {
	file  string
	where positions
}

// Has reports whether the document says anything of key, such as "rule[0].share".
func (p *Places) Has(key string) bool { return p.where.has(key) }

// Problem is one at the place of key, or of the nearest thing around it that the document has.
func (p *Places) Problem(key, what, hint string) Problem {
	return p.where.at(key).problem(p.file, key, what, hint)
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
