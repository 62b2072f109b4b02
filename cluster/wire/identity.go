package wire

import (
	"fmt"
	"strconv"
	"strings"
)

const scheme = "postroad://"

// Identity says who a node is. The zero value is nobody.
type Identity struct {
	Cluster     string // 1 to 63 letters, digits and inner hyphens
	Member      uint16 // its number, 1 or more
	Incarnation uint64 // of its data directory
}

// String returns the URI that stands in the member's certificate.
func (id Identity) String() string {
	return fmt.Sprintf("%s%s/%d/%016x", scheme, id.Cluster, id.Member, id.Incarnation)
}

// ParseIdentity reads what String wrote, and nothing else.
func ParseIdentity(s string) (Identity, error) {
	bad := fmt.Errorf("%.200q is not the identity of a member", s)
	rest, ok := strings.CutPrefix(s, scheme)
	fields := strings.Split(rest, "/")
	if !ok || len(fields) != 3 {
		return Identity{}, bad
	}
	member, err := strconv.ParseUint(fields[1], 10, 16)
	if err != nil {
		return Identity{}, bad
	}
	incarnation, err := strconv.ParseUint(fields[2], 16, 64)
	if err != nil {
		return Identity{}, bad
	}
	id := Identity{Cluster: fields[0], Member: uint16(member), Incarnation: incarnation}
	if id.check() != nil || id.String() != s {
		return Identity{}, bad
	}
	return id, nil
}

func (id Identity) check() error {
	if id.Member == 0 {
		return fmt.Errorf("a member's number is 1 or more")
	}
	return checkCluster(id.Cluster)
}

// checkCluster: the name is the host of a URI in a certificate, where it must look like a label of
// a domain name.
func checkCluster(name string) error {
	ok := len(name) >= 1 && len(name) <= 63 && name[0] != '-' && name[len(name)-1] != '-'
	for _, c := range []byte(name) {
		ok = ok && (c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c &&
			c <= 'Z')
	}
	if !ok {
		return fmt.Errorf("cluster ID %.80q: 1 to 63 letters, digits and inner hyphens are wanted",
			name)
	}
	return nil
}
