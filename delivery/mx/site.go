package mx

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// maxSite bounds a site's name in octets; it is a key of logs and maps.
const maxSite = 160

// siteName names a set of hosts: what differs in brackets, then the suffix they share, such as
// "(mx1|mx2).example.net". Different sets have different names, because host names hold none of the
// characters it adds. A long set is cut and told apart by a hash.
func siteName(names []string) string {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if len(names) == 1 {
		return names[0]
	}
	suffix := commonSuffix(names)
	heads := make([]string, len(names))
	for i, n := range names {
		heads[i] = strings.TrimSuffix(n[:len(n)-len(suffix)], ".")
	}
	in := strings.Join(heads, "|")
	if room := max(maxSite-len(suffix), 40); len(in) > room {
		sum := sha256.Sum256([]byte(strings.Join(names, ",")))
		in = in[:room-18] + "|#" + hex.EncodeToString(sum[:8])
	}
	if suffix == "" {
		return "(" + in + ")"
	}
	return "(" + in + ")." + suffix
}

// commonSuffix returns the labels that all names end with; at least one label of each stays outside
// of it.
func commonSuffix(names []string) string {
	suffix := ""
	for {
		next := ""
		for i, n := range names {
			rest := strings.TrimSuffix(n[:len(n)-len(suffix)], ".")
			dot := strings.LastIndexByte(rest, '.')
			if dot < 0 {
				return suffix
			}
			tail := n[dot+1:]
			if i > 0 && tail != next {
				return suffix
			}
			next = tail
		}
		suffix = next
	}
}
