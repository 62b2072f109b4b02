package roster

import (
	"encoding/json"
	"errors"
	"io"
	"sort"
)

// jsonSource reads JSON: one array of objects, or objects one after the other.
type jsonSource struct {
	dec    *json.Decoder
	lines  *lineCounter
	array  bool
	begun  bool
	broken bool
}

func openJSON(r io.Reader) *jsonSource {
	l := &lineCounter{r: r}
	s := &jsonSource{dec: json.NewDecoder(l), lines: l}
	s.dec.UseNumber()
	return s
}

// lineCounter notes where the lines of what is read begin.
type lineCounter struct {
	r      io.Reader
	read   int64
	starts []int64 // of the lines after the first
}

// Read reads on and notes where lines begin.
func (l *lineCounter) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	for i, c := range p[:n] {
		if c == '\n' {
			l.starts = append(l.starts, l.read+int64(i)+1)
		}
	}
	l.read += int64(n)
	return n, err
}

func (l *lineCounter) place(offset int64) Place {
	line := sort.Search(len(l.starts), func(i int) bool { return l.starts[i] > offset })
	start := int64(0)
	if line > 0 {
		start = l.starts[line-1]
	}
	return Place{line + 1, int(offset-start) + 1}
}

func (s *jsonSource) lost() bool { return s.broken }

// fail is a problem after which nothing can be read.
func (s *jsonSource) fail(what string) error {
	s.broken = true
	p := s.lines.place(s.dec.InputOffset())
	return p.problem("%s", what)
}

func (s *jsonSource) syntax(err error) error {
	var at *json.SyntaxError
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return s.fail("the file ends too early")
	case errors.As(err, &at):
		// Its offset is not always one in the file, so the place is that of the last token.
		return s.fail(at.Error())
	}
	s.broken = true
	return err
}

func (s *jsonSource) next(set func(string, value) error) (Place, error) {
	opened, err := s.object()
	if err != nil {
		return Place{}, err
	}
	var first error
	for s.dec.More() {
		key, err := s.dec.Token()
		if err != nil {
			return opened, s.syntax(err)
		}
		name, ok := key.(string)
		if !ok {
			return opened, s.fail("the name of a member is missing")
		}
		v, err := s.value()
		if s.broken {
			return opened, err
		}
		if err == nil {
			err = set(name, v)
		}
		if first == nil {
			first = err
		}
	}
	if _, err := s.dec.Token(); err != nil { // }
		return opened, s.syntax(err)
	}
	return opened, first
}

// object goes to the beginning of the next object.
func (s *jsonSource) object() (Place, error) {
	for {
		t, err := s.dec.Token()
		switch {
		case err == io.EOF && (!s.array):
			return Place{}, io.EOF
		case err != nil:
			return Place{}, s.syntax(err)
		case t == json.Delim('{'):
			return s.lines.place(s.dec.InputOffset() - 1), nil
		case t == json.Delim('[') && !s.begun:
			s.array = true
		case t == json.Delim(']') && s.array:
			s.array = false
		default:
			return Place{}, s.fail("an object was expected: {\"address\": ...}")
		}
		s.begun = true
	}
}

// value reads one value: a text, a number, true or false, null, or a list of texts.
func (s *jsonSource) value() (value, error) {
	var raw json.RawMessage
	if err := s.dec.Decode(&raw); err != nil {
		return value{}, s.syntax(err)
	}
	v := value{Place: s.lines.place(s.dec.InputOffset() - int64(len(raw)))}
	switch raw[0] {
	case '"':
		return v, json.Unmarshal(raw, &v.text)
	case '[':
		v.many = true
		if err := json.Unmarshal(raw, &v.list); err != nil {
			return v, v.problem("a list has texts only")
		}
		return v, nil
	case '{':
		return v, v.problem("an object has no place here")
	case 'n':
		return v, nil
	}
	v.text = string(raw)
	return v, nil
}
