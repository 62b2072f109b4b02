package mail

import (
	"net"
	"slices"
	"testing"
)

func TestFreeAddrs(t *testing.T) {
	first, err := FreeAddrs("127.0.0.1", 3)
	if err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", first[0])
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	second, err := FreeAddrs("127.0.0.1", 3)
	if err != nil {
		t.Fatal(err)
	}
	all := append(first, second...)
	slices.Sort(all)
	if len(slices.Compact(all)) != 6 {
		t.Errorf("%v and %v", first, second)
	}
	if _, err := FreeAddrs("192.0.2.1", 1); err == nil {
		t.Error("an address of another host is free")
	}
}

// TestPortsOfOthers: a process never has the block of another.
func TestPortsOfOthers(t *testing.T) {
	dir := t.TempDir()
	seen := map[int]bool{}
	for range blockCount {
		block, lock, err := freeBlock(dir)
		if err != nil || lock == nil || seen[block] {
			t.Fatalf("block %d, lock %v, %v", block, lock, err)
		}
		defer lock.Close()
		seen[block] = true
	}
	if block, lock, err := freeBlock(dir); err != nil || lock != nil {
		t.Errorf("a block too many: %d, %v", block, err)
	}
}
