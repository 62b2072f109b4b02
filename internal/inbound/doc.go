// Package inbound knows who connects to a listener, whatever is spoken there: the PROXY header of a balancer in front of us, and how many
// sessions a client network has. SMTP and POP3 share it.
package inbound
