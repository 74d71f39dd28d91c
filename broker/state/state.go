// Package state is what every node believes after reading the same log. It has
// no clock, network or logger: equal commands give equal bytes.
//
// It owns the commands, their encoding, the View that all machines read, and
// what must hold in it: nobody brings a bundle for our own domain, a key
// belongs to one domain, nothing becomes active inside its publication window,
// the sequence of our bundle only grows, every command has an author. It
// refuses what breaks that, on every node alike, and stops on what it does not
// know.
//
// A command is encoded by Encode, replicated, and given to Machine.Apply. What
// Apply makes is a new View; the old one stays as it was for whoever reads it.
package state
