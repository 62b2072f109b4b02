// Package wire is what the nodes of a cluster speak through: one TCP port with mutually
// authenticated TLS, for raft, for HTTP between the nodes, and for a new node that asks to be let
// in.
//
// # A connection
//
//  1. TLS 1.3 with ALPN "postroad/1", without session tickets. Each side shows a certificate of the
//     cluster's own authority, in which a URI names its holder:
//     postroad://<cluster>/<member>/<incarnation>. Both verify the chain and the cluster; who
//     dialled also verifies that it reached the member that it wanted. Then Options.Admit is asked:
//     a member that was removed, or the number of a member with another incarnation (its disk was
//     wiped) or another key (somebody else made the certificate), is refused.
//  2. The dialler's preface, one octet: 'R' and the group's number in eight octets, big-endian, for
//     a raft stream (0: the heartbeats of all groups); 'H' for HTTP/1.1; 'J' to join, the only one
//     that is allowed without a certificate.
//  3. The answer, a frame: 'y' without a body, 'n' (no) or 'N' (never) with words for the dialler's
//     operator. After 'y' the connection belongs to what was asked for. With TLS 1.3 a dialler's
//     handshake is complete before the other side has judged its certificate: the answer tells it.
//
// A frame is its kind, one octet, the length of its body in four octets, big-endian, and the body.
//
// A refusal holds for a while: what is asked of that member, or of that group of it, is refused
// here without a connection, for up to two seconds, or a quarter of one where it is only the
// group (restraint). Who cannot be reached is dialled each time.
//
// # Joining
//
// The new node knows an address and a token, which is a secret; it has no certificate and cannot
// judge one. With ALPN "postroad-join/2" both sides prove what they know as package token does: the
// new node the token, the member what it can be checked by. A proof is bound to 32 octets that TLS
// exports from this handshake (RFC 8446 7.5, label "EXPORTER-postroad-join"). Only the two ends of
// one handshake have these, so a man in the middle, who has two handshakes, can neither use nor
// pass on a proof. A program of a version before has ALPN "postroad/1" here, too, and the proofs
// are HMAC-SHA256(secret, role || value): a member that has the token as it is takes them still.
//
//	new node                         member
//	'J', proof as "client"  ------->  tries all tokens; closes without a word if none fits
//	                        <-------  proof as "server", with the token that fitted
//	'q' JoinRequest (JSON)  ------->
//	                        <-------  'y' JoinReply (JSON), or 'n' (no) or 'l' (not now) with words
//
// The new node proves first: a stranger who connects gets nothing on which tokens could be tried at
// leisure. Neither side sends anything else before it has verified the other's proof. The private
// key never leaves the new node: it sends a certificate request.
//
// A token that the member does not know may be so new that only others have it yet: it waits two
// seconds for it. With AsksStanding the request asks only whether the node knows a cluster. A node
// that waits for one itself (Wait) answers that, with a certificate of nobody's.
//
// # Claims
//
// A member that meets a certificate of another cluster at a member's address tells the node there
// that it is listed: with ALPN "postroad-claim/1", in whose handshake certificates of strangers
// pass, a frame 'q' with a Claim (JSON), and the answer 'y' or 'n' with words. The node has
// forgotten all by which it could tell a member of its old cluster from a stranger: what is proved
// is that the teller holds a key, and can be answered where it seems to be. So whoever reaches the
// port could tell it; Options.Claimed believes it only while nobody has said that the node is a
// cluster of its own and nobody has joined it, on the first day of its disk, and only for the
// address that it advertises. What a lie costs is a stop of such a node with words that say how to
// make it deaf (`cluster init`). What belief saves is mail that a member's double would have taken.
// Road not taken: calling the teller back, which any stranger with a port of his own would pass.
//
// # Bounds
//
//   - Ten seconds from the first octet to the answer; a join gets a minute after the proofs.
//   - 256 connections that have not shown who they are, 64 from one address. When there are more,
//     the oldest is let go once it is a second old, or the newest at once. Addresses where members
//     have been met have 1,024 places of their own, so a flood of strangers does not reach them.
//   - Three seconds to the first octet.
//   - 512 connections of a member, 16 that wait for Accept in a group, eight joins under way.
//   - An unanswered keep-alive or unacknowledged data ends a connection after some 20 seconds: a
//     peer without power is noticed.
//
// Closing a connection does not send TLS's close_notify: it could block on a peer that does not
// read. All that is spoken here says its own length, so a cut is always seen.
//
// # The road not taken
//
// HTTP/2 would share one connection between all requests, and a stalled content transfer would hold
// up the small requests behind it. A second port for raft would need a second entry in every
// firewall. TLS with pre-shared keys for the join is not in crypto/tls.
package wire
