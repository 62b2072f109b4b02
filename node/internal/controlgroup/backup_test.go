package controlgroup

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// scanOf scans rows, and fails after so many; -1: it does not.
func scanOf(rows []Row, fails int) Scan {
	return func(_, _ []byte, fn func(k, v []byte) bool) error {
		for i, r := range rows {
			if i == fails {
				return errors.New("the disk fails")
			}
			if !fn(r.Key, r.Value) {
				return nil
			}
		}
		return nil
	}
}

func TestBackup(t *testing.T) {
	rows := []Row{{[]byte("a"), []byte("1")}, {[]byte{0, 255}, []byte{10, 13}},
		{[]byte("empty"), nil}}
	var b bytes.Buffer
	if err := WriteBackup(&b, "c1", 9, scanOf(rows, -1)); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(b.String(), "\n"); lines != 5 {
		t.Errorf("%d lines:\n%s", lines, b.String())
	}
	head, got, err := ReadBackup(bytes.NewReader(b.Bytes()))
	if err != nil || head.Cluster != "c1" || head.Version != 9 || !reflect.DeepEqual(got, rows) {
		t.Errorf("%+v, %q, %v", head, got, err)
	}
	whole := b.String()
	for end := range len(whole) - 1 { // the last line may lack its end
		if _, _, err := ReadBackup(strings.NewReader(whole[:end])); err == nil {
			t.Fatalf("%d of %d octets are a backup", end, len(whole))
		}
	}
	for _, other := range []string{
		"", "{}", `{"what":"a mailbox","format":1}`, `{"what":"` + backupWhat + `","format":2}`,
	} {
		if _, _, err := ReadBackup(strings.NewReader(other)); err == nil ||
			!strings.Contains(err.Error(), "this is no backup") {
			t.Errorf("%q: %v", other, err)
		}
	}
}

// TestBackupThatFails: whoever makes it hears so.
func TestBackupThatFails(t *testing.T) {
	rows := []Row{{[]byte("a"), nil}, {[]byte("b"), nil}}
	if err := WriteBackup(new(bytes.Buffer), "c1", 9, scanOf(rows, 1)); err == nil {
		t.Error("rows that cannot be read are not missed")
	}
}
