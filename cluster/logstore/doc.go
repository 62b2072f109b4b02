// Package logstore keeps the raft logs of all groups of a node in one sequence of segment files, so
// that one sync serves whatever all groups are waiting for, and content is written exactly once.
//
// # Steps of a write
//
//  1. A caller (StoreLogs, Set, ...) queues an op and looks whether a round is under way. If not it
//     leads the next round itself: no hop to another goroutine. If so it waits; one of those who
//     waited leads the round after.
//  2. The leader encodes the queued ops as one block, writes it at the end of the current segment
//     and syncs it.
//  3. It publishes what changed (where entries lie, stable values, windows) and wakes the others.
//
// # Invariants
//
//   - A block is written only after all blocks before it were synced. So a block that verifies
//     proves that all before it had been on stable storage: a bad block with a good one after it is
//     damage. A bad one at the very end is a torn write or damage: tail.go tells which.
//   - A block begins on a page of its own: no write touches a page that was synced before. After
//     Open writing goes on in a new segment, so nothing that recovery rejected can ever become
//     valid.
//   - Each block carries the checksum of the one before, the number of its segment and its own
//     sequence number: what is left in a recycled file never verifies. Parts have checksums of
//     their own, which the block's checksum covers.
//   - The first block of a segment repeats everything small (windows, stable values), so recovery
//     reads only the segments from the one with the oldest entry still in a window. Old segments
//     are only there for the parts in them that the state still refers to.
//   - A segment is used again only when no window entry and no kept part lies in it, and a flush of
//     the state that began after that has completed: the state as of before could come back in a
//     crash.
//   - After the first error of a write or a sync nothing is written or acknowledged any more (see
//     Options.OnFailure).
//
// # The road not taken
//
// Pebble with value separation instead of files of our own: docs/decisions/0001-segment-files.md
// has the measurements. Syncing one block while the next is being written would allow more rounds
// in flight, at the price of the first invariant.
package logstore
