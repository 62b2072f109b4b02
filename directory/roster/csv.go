package roster

import (
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
)

// csvSource reads CSV (RFC 4180) whose first line names the columns.
type csvSource struct {
	r       *csv.Reader
	columns []string
	broken  bool
}

// maxFields bounds the columns of a file.
const maxFields = 100

func openCSV(r io.Reader, keys []string) (*csvSource, error) {
	s := &csvSource{r: csv.NewReader(r)}
	s.r.FieldsPerRecord = -1 // checked here, where the place is known
	s.r.ReuseRecord = true
	header, err := s.r.Read()
	if err == io.EOF {
		return nil, &Problem{
			1,
			1,
			"the file is empty: its first line names the columns, such as address,hash",
		}
	}
	if err != nil {
		return nil, s.problem(err)
	}
	for i, name := range header {
		line, column := s.r.FieldPos(i)
		name = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))
		switch {
		case i >= maxFields || !slices.Contains(keys, name):
			return nil, Place{
				line,
				column,
			}.problem(
				"there is no column %q: the names are %s",
				name,
				strings.Join(keys, ", "),
			)
		case slices.Contains(s.columns, name):
			return nil, Place{line, column}.problem("there are two columns %q", name)
		}
		s.columns = append(s.columns, name)
	}
	if !slices.Contains(s.columns, keys[0]) {
		return nil, &Problem{
			1,
			1,
			"the first line names the columns, and one of them is " + keys[0],
		}
	}
	return s, nil
}

func (s *csvSource) lost() bool { return s.broken }

func (s *csvSource) problem(err error) error {
	var p *csv.ParseError
	if !errors.As(err, &p) {
		return err
	}
	s.broken = errors.Is(p.Err, csv.ErrQuote) // the rest of the file may be inside of a quote
	if p.StartLine != p.Line {
		return Place{
			p.Line,
			p.Column,
		}.problem(
			"%v, in the row that begins on line %d",
			p.Err,
			p.StartLine,
		)
	}
	return &Problem{p.Line, p.Column, p.Err.Error()}
}

func (s *csvSource) next(set func(string, value) error) (Place, error) {
	row, err := s.r.Read()
	if err != nil {
		return Place{}, s.problem(err)
	}
	line, column := s.r.FieldPos(0)
	first := Place{line, column}
	if len(row) != len(s.columns) {
		return first, first.problem(
			"there are %d fields, and the first line names %d",
			len(row),
			len(s.columns),
		)
	}
	for i, field := range row {
		line, column := s.r.FieldPos(i)
		if err := set(s.columns[i], value{Place: Place{line, column}, text: field}); err != nil {
			return first, err
		}
	}
	return first, nil
}
