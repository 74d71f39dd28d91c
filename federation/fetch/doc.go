// Package fetch follows the bundles of the domains that we have a relationship
// with: one poller a relationship, on the hint's schedule, until the
// relationship goes.
//
// It owns the way from a URL to a bundle that may be stored: where a fetch may
// go (the address class of every hop), who must answer (both endpoint profiles
// of SPIFFE Federation §5.2, authenticated anew on every connection), and how
// much of an answer is read (bytes, time, hops). What the answer may change is
// decided by federation.Admit; what is stored goes through Store.
//
// What holds: a peer that is slow, huge, hostile or gone costs its own bundle
// and nothing else. No body that a peer sent appears in an error or a log line.
// A result that changes nothing is not written. A poller lives on the context
// of Run, never on that of a caller of Refresh.
package fetch
