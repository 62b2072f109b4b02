// Package faults is the kit for a cluster under faults: real processes of the program on loopback,
// what goes wrong between and in them, clients that spread over the nodes, and the judgement of
// what became of each message. It is used by the end-to-end tests and by `postroad demo`.
//
//   - Cluster writes configurations, starts nodes as processes, and kills, pauses, wipes and
//     replaces them.
//   - Net is the network between their cluster ports: a proxy in front of each, which can cut or
//     stall each direction between each two nodes.
//   - World is DNS and a receiving server that notes which node each attempt came from, and which
//     were under way at a moment.
//   - Load is clients that spread over the nodes, go to another when they are refused, and note
//     what they were told.
//   - Plan makes a schedule of faults from a seed; Driver carries it out and notes when which node
//     stopped being able to own mail. What a disk holds that comes back wrong is in damage.go and
//     beside.go, a start and a join without room in room.go, and a process that stops in the middle
//     of something in midst.go.
//   - The driver is the operator, too (heed.go): a node that ends by itself gets what its exit
//     status and its last words ask for. 78: a node of another name takes its places; 74 and 75: it
//     is started again; 70: the same, or what it names is noted or salvaged. A node whose data were
//     damaged and that ends with 70 again and again is given up as with 78, and the summary counts
//     those without words.
//   - Operators issue hold, release, remove, fail, flush, suspend, resume, count, list, show and
//     trace at random nodes all the time, and note what they were told; check_verbs.go says what is
//     promised.
//   - Check holds what clients were told against what arrived, what queues still hold and what the
//     nodes logged.
//
// Check excuses copies by this rule. A cluster cannot know what became of a
// transaction whose end of data was sent when its owner died; nobody can (RFC 5321 4.1.1.4, RFC
// 1047). So a further copy is excused when both hold:
//
//   - The copy before it was accepted at most Rules.Window before a fault that took its owner's
//     ownership away, or at most Rules.Grace after it: so long an owner's lease may go on, and the
//     kernel may deliver a dead process's octets.
//   - The attempt that made the further copy was logged as possible_duplicate.
//
// When more than a minority has forgotten, because one was damaged, one lagged and who knew was
// away, what was delivered since is excused, too (Fault.Forgot). Mail that is lost then is a
// finding, unless a node has stopped and named it.
//
// Everything else is a finding: a lost message, another content, a copy without an excuse, a report
// to the sender of a message that was delivered, an attempt that a node began when its lease must
// have ended, and what an operator was told that is not so.
//
// The kit shares no code with the cluster: it knows the command line, the configuration file and
// the formats of docs, and nothing else.
package faults
