// Package kit is what the end-to-end tests share: nodes, the world around them, other people's
// servers, and waiting. They try the finished program as its users do: the real binary, real
// sockets, real DNS packets, real disks and other people's servers.
//
// There is a package for each subject, and packages run side by side (docs/evidence.md). A scenario
// whose foreign program is absent skips with a clear line, and fails instead when
// POSTROAD_E2E=require. Long runs are the same scenarios with POSTROAD_LONG=1; measurements run
// only then.
package kit
