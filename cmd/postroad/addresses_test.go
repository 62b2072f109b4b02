package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAddressesOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	b, err := openAddresses(dir)
	if err != nil || b.of(1) != "" {
		t.Fatalf("%v, %q", err, b.of(1))
	}
	for _, now := range []map[uint16]string{
		{1: "mx1:7025"},
		{1: "mx1:7025", 2: "mx2:7025"},
		{1: "other:7025"}, // a state that knows of no other yet
		{},
	} {
		if err := b.keep(now); err != nil {
			t.Fatal(err)
		}
	}
	if b, err = openAddresses(dir); err != nil || b.of(1) != "other:7025" || b.of(2) != "mx2:7025" || b.of(3) != "" {
		t.Errorf("%v: %v", err, b.mu.known)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%v: something was left: %v", err, files)
	}
	if err := os.WriteFile(filepath.Join(dir, addressesFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openAddresses(dir); err == nil {
		t.Error("half a file is taken for a whole one")
	}
}
