package roster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/postroad/postroad/operate/admin/api"
)

// FormatOf is what was said, or what the name says.
func FormatOf(said, file string) string {
	switch {
	case said != "":
		return said
	case strings.HasSuffix(file, ".json"), strings.HasSuffix(file, ".jsonl"):
		return "json"
	}
	return "csv"
}

// MaxProblems is how many wrong rows are named.
const MaxProblems = 20

// EachRow calls fn with each row of a file; problems are gathered.
func EachRow[T any](
	file, format string, open func(io.Reader, string) (*Reader[T], error), fn func(*T) error,
) error {
	f, err := os.Open(file)
	if err != nil {
		return &api.Error{Exit: api.ExitData, Message: err.Error()}
	}
	defer f.Close()
	var wrong Problems
	r, err := open(f, FormatOf(format, file))
	for err == nil || wrong.Add(file, err) && r != nil && len(wrong) < MaxProblems {
		var row *T
		if row, err = r.Next(); err == nil {
			if err = fn(row); err != nil && !errors.As(err, new(*Problem)) {
				return err
			}
		}
	}
	if len(wrong) == 0 && err != io.EOF {
		return err
	}
	return wrong.Err("nothing was added")
}

// Problems are what is wrong in a file.
type Problems []string

// Add notes a problem; false: it is none.
func (p *Problems) Add(file string, err error) bool {
	var one *Problem
	if !errors.As(err, &one) {
		return false
	}
	*p = append(*p, fmt.Sprintf("%s:%d:%d: %s", file, one.Line, one.Column, one.What))
	return true
}

// Err is nil, or names the problems; hint says what was done all the same.
func (p Problems) Err(hint string) error {
	if len(p) == 0 {
		return nil
	}
	return &api.Error{Exit: api.ExitData, Message: strings.Join(p, "\n"), Hint: hint}
}
