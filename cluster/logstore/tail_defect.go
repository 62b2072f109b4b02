//go:build defect_notail

package logstore

// A planted defect: every bad last block passes for a torn write. TestTailAfterAKill,
// TestTailProven and TestOddsOfAFlip must fail with it.
const checksTail = false
