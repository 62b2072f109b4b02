package mailbox

import "hash/fnv"

// Shard returns the number of the shard that has the mailbox of a canonical address, below shards.
// The number of shards is a constant of the cluster, and this function is part of the format: a
// mailbox lies where it says.
func Shard(address string, shards int) int {
	h := fnv.New64a()
	h.Write([]byte(address))
	// its low bits are poor for short names that differ at the end; two rounds of mixing help
	x := h.Sum64()
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return int((x ^ x>>33) % uint64(shards))
}
