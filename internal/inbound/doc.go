// Package inbound knows who connects to a listener, whatever is spoken there: the PROXY header of a
// balancer in front of us, how many sessions a client network has, and how many connections a
// server that stops must still wait for. SMTP and POP3 share it.
package inbound
