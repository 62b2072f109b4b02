package roster

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"io"
)

// Writer writes the rows of a file that a Reader reads. Flush ends it.
type Writer[T any] struct {
	fields []setter[T]
	csv    *csv.Writer
	json   *bufio.Writer
}

// UserWriter, AliasWriter and DomainWriter write to w; format is "csv" or "json".
func UserWriter(w io.Writer, format string) (*Writer[User], error) {
	return newWriter(w, format, userFields)
}

// AliasWriter returns a writer of a file of aliases that Aliases can read.
func AliasWriter(w io.Writer, format string) (*Writer[Alias], error) {
	return newWriter(w, format, aliasFields)
}

// DomainWriter returns a writer of a file of domains that Domains can read.
func DomainWriter(w io.Writer, format string) (*Writer[Domain], error) {
	return newWriter(w, format, domainFields)
}

func newWriter[T any](w io.Writer, format string, fields []setter[T]) (*Writer[T], error) {
	out := &Writer[T]{fields: fields}
	switch format {
	case "csv":
		out.csv = csv.NewWriter(w)
		return out, out.csv.Write(keysOf(fields))
	case "json":
		out.json = bufio.NewWriter(w)
		return out, nil
	}
	return nil, noFormat(format)
}

// Write writes one row: a line of CSV, or an object on a line of its own without the empty values.
func (w *Writer[T]) Write(row *T) error {
	if w.csv != nil {
		record := make([]string, len(w.fields))
		for i, f := range w.fields {
			record[i], _ = f.get(row)
		}
		return w.csv.Write(record)
	}
	sep := byte('{')
	for _, f := range w.fields {
		text, list := f.get(row)
		if text == "" {
			continue
		}
		var v any = text
		if list != nil {
			v = list
		}
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		w.json.WriteByte(sep)
		w.json.WriteString(`"` + f.key + `":`)
		w.json.Write(b)
		sep = ','
	}
	_, err := w.json.WriteString("}\n")
	return err
}

// Flush writes what is left.
func (w *Writer[T]) Flush() error {
	if w.csv != nil {
		w.csv.Flush()
		return w.csv.Error()
	}
	return w.json.Flush()
}
