package controlgroup

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// A backup is the rows of the control group, one JSON object a line: whoever has them has the
// authority's key.

const backupWhat = "postroad control group"

// Head is the first line of a backup.
type Head struct {
	What    string `json:"what"`
	Format  int    `json:"format"`
	Cluster string `json:"cluster"`
	Version uint64 `json:"version"` // of the control state
}

// Row is a row of a backup; the last one has no key.
type Row struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
}

// Scan calls fn for all rows of a group from one key to another, nil for all, until fn returns
// false.
type Scan func(from, to []byte, fn func(key, value []byte) bool) error

// WriteBackup writes the rows of the control group of that cluster to w, extra ones first.
func WriteBackup(w io.Writer, cluster string, version uint64, scan Scan, extra ...Row) error {
	out := json.NewEncoder(w)
	if err := out.Encode(Head{backupWhat, 1, cluster, version}); err != nil {
		return err
	}
	for _, row := range extra {
		if err := out.Encode(row); err != nil {
			return err
		}
	}
	var bad error
	err := scan(nil, nil, func(k, v []byte) bool {
		bad = out.Encode(Row{k, v})
		return bad == nil
	})
	return errors.Join(err, bad, out.Encode(Row{}))
}

// ReadBackup reads what WriteBackup wrote, as a whole: one that is cut off is no backup.
func ReadBackup(r io.Reader) (head Head, rows []Row, err error) {
	d := json.NewDecoder(bufio.NewReader(r))
	if err := d.Decode(&head); err != nil || head.What != backupWhat || head.Format != 1 {
		if err == nil {
			err = errors.New("its first line is another one")
		}
		return head, nil, fmt.Errorf("this is no backup of a control group: %w", err)
	}
	for {
		var row Row
		if err := d.Decode(&row); err != nil {
			return head, nil, fmt.Errorf("the backup is cut off: %w", err)
		}
		if len(row.Key) == 0 {
			return head, rows, nil
		}
		rows = append(rows, row)
	}
}
