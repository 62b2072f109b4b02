// Package measure takes the figures of a system under test: the processor time, memory and written
// octets of all its processes, its fsyncs, and what the machine and its disk are able to do by
// themselves.
//
//   - Group runs processes in a control group of their own, so that nothing that they start is
//     missed, however short it lives.
//   - Tree, CPU, Status, Written read /proc, where there are no control groups, and for what these
//     do not count.
//   - CheckDisk refuses a file system without a disk; Fsync and Sequential time the bare disk.
//   - Trace counts fsyncs.
package measure
