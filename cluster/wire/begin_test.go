package wire

import (
	"os"
	"path/filepath"
	"testing"
)

// TestBegin: what is written are the credentials of member 1, and the key with which that member
// lets others in.
func TestBegin(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	made, err := Begin(dir, 7)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := LoadCredentials(dir)
	if err != nil {
		t.Fatal(err)
	}
	self, err := loaded.Identity()
	if err != nil || self.Member != 1 || self.Incarnation != 7 {
		t.Errorf("it is %v, %v", self, err)
	}
	if id, err := made.Identity(); err != nil || id != self {
		t.Errorf("returned %v, %v; written %v", id, err, self)
	}
	caKey, err := os.ReadFile(filepath.Join(dir, AuthorityFile))
	if err != nil {
		t.Fatal(err)
	}
	csr, _, err := NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	other := Identity{Cluster: self.Cluster, Member: 2, Incarnation: 8}
	if _, err := Sign(loaded.CA, caKey, csr, other); err != nil {
		t.Errorf("the key signs nobody's certificate: %v", err)
	}
}

// TestNewClusters: no two have one name.
func TestNewClusters(t *testing.T) {
	names := map[string]bool{}
	for range 3 {
		c, _, err := NewCluster(5, 1)
		if err != nil {
			t.Fatal(err)
		}
		id, err := c.Identity()
		if err != nil || id.Member != 5 || names[id.Cluster] {
			t.Errorf("%v, %v", id, err)
		}
		names[id.Cluster] = true
	}
}
