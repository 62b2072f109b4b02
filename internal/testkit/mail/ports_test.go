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
