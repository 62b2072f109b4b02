// Package secret seals what nobody may read in the replicated state, such as private keys of DKIM,
// with a key that the whole cluster has and the state has not.
//
// A Ring seals and opens with the cluster's key. The key itself is in the state only in boxes: one
// for each member, which that member's Identity opens (RFC 9180). A Keeper makes the first key,
// gives it to members that join, and makes another one when somebody who knew it has left. The
// secrets are sealed anew then, by whoever owns them.
package secret
