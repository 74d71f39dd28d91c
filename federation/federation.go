// Package federation is the words of trust between domains: a bundle, a
// relationship, and the guard that every foreign bundle must pass.
package federation

import (
	"crypto"
	"crypto/x509"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Limits on what comes from outside.
const (
	MaxBundleBytes  = 256 << 10 // a peer's share of a message to a workload
	MaxAuthorities  = 256
	MaxURLBytes     = 2048
	MaxRootsBytes   = 64 << 10
	DefaultHint     = 5 * time.Minute // Trust Domain and Bundle §6.1: poll at a low default
	MinPollInterval = 5 * time.Second
	MaxPollInterval = time.Hour
)

// JWTAuthority is a key that signs JWT-SVIDs of its trust domain.
type JWTAuthority struct {
	ID  string // the kid
	Key crypto.PublicKey
}

// Bundle is the trust bundle of one trust domain. It is a value: whoever has it
// never changes it.
type Bundle struct {
	TrustDomain spiffeid.TrustDomain
	X509        []*x509.Certificate // no repetitions; the order means nothing, Parse and Publish give the canonical one
	JWT         []JWTAuthority      // each ID once; order as above

	Sequence  uint64 // 0 and !Sequenced if the document has none
	Sequenced bool
	Hint      time.Duration // 0 and !Hinted if the document has none
	Hinted    bool
}

// Profile is how a bundle endpoint is authenticated (SPIFFE Federation §5.2).
type Profile string

// The endpoint profiles.
const (
	HTTPSWeb    Profile = "https_web"
	HTTPSSPIFFE Profile = "https_spiffe"
)

// Relationship is one way: we follow TrustDomain's bundle at URL. Its three
// first parameters are all configured; none is inferred from another (SPIFFE
// Federation §5.1, §7.2).
type Relationship struct {
	TrustDomain spiffeid.TrustDomain
	URL         string
	Profile     Profile
	EndpointID  spiffeid.ID // https_spiffe: the exact ID that the endpoint presents
	Roots       []byte      // https_web: PEM of the CA certificates that may vouch for the endpoint; empty: the system's
	CreatedAt   time.Time
	Revision    uint64 // 0 at creation, +1 with every change
}

// State is how a relationship fares.
type State string

// The states of a relationship.
const (
	StatePending  State = "pending"  // never fetched, and no bundle set by hand
	StateActive   State = "active"   // the last poll succeeded
	StateDegraded State = "degraded" // polls fail, the bundle held is not yet older than three hints
	StateFailing  State = "failing"  // polls fail and the bundle is older than that
)

// Status is what the polling node knows of a relationship. It lives in that
// node's memory and is never written to the log.
type Status struct {
	State       State
	Sequence    uint64        // of the bundle held; 0 if none
	Age         time.Duration // since it was last confirmed to be the newest; 0 if never
	Hint        time.Duration // the interval in use, after clamping
	LastSuccess time.Time     // zero: never since this node started
	LastAttempt time.Time
	LastError   string // in words, with what to do; "" after a success
	NextPoll    time.Time
	Polls       uint64
	Changes     uint64
	Bytes       int
	Alarms      []string // what a person has to hear of although the poll may have succeeded, in words
}
