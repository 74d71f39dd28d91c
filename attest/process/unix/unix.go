// Package unix says who is at the other end of a Unix domain socket, and what
// that process is: the kernel names the peer, /proc shows it.
//
// A Listener takes from the kernel, when it accepts a connection, the
// credentials of whoever called connect, and a descriptor (pidfd) of that
// process. The descriptor lives as long as the connection and goes on meaning
// that process when its PID is given to another one. Credentials brings the
// peer to gRPC, ProcessOf to a handler, and Attestor turns it into selectors.
//
// What holds:
//   - Selectors are those of the moment of attestation, of the process that
//     connected. A process that was replaced, ended, is a zombie, or changed
//     its user, groups or program during the observation is refused.
//   - The peer is the process that called connect, for as long as the
//     connection lives. A child that inherited the connection, or whoever was
//     sent its descriptor, speaks in the name of that process, and of no one
//     when it has ended.
//   - After exec it is still the same process, so that its selectors are those
//     of its new program. An exec that changes the effective user or group, as
//     of a setuid program, is refused: else a user could connect, leave the
//     connection to a child, and turn into such a program.
//   - A path is told only when it leads, from here, to the very file that the
//     process runs. Whoever makes a mount namespace chooses what paths mean in
//     it, so that a path seen only there is a claim; sha256 has no such limit.
//
// path and sha256 tell programs of one user apart. They do not defend against
// that user, who may load code into any program of theirs: combine them with
// uid. A user or group that has no number in our user namespace is shown by the
// kernel as 65534.
//
// It needs Linux 5.3; from 6.5 on the kernel itself hands out the peer's
// descriptor, before that it is opened by PID on accept, and a process that
// ended between connect and accept could be mistaken for a successor of the
// same user and PID.
package unix
