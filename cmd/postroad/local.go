package main

// isLocal reports whether a domain's mail stays here: the configuration says so, or the directory. The scheduler asks it for each message.
func (n *node) isLocal(domain string) bool { return n.policy.Local(domain) }
