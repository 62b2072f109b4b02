// Package confine runs a test binary with all that it starts in namespaces of its own: of
// processes, so that nothing outlives the binary, however it ends; and of the network, so that test
// binaries that run side by side do not take each other's ports. It takes Linux and root, and a
// container that lets it mount /proc; elsewhere the binary runs as it is.
package confine

// Variable is the environment's variable that tells a copy of the test binary what it is. With
// "off" the tests run where they are, for a debugger.
const Variable = "POSTROAD_CONFINE"
