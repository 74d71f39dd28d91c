package federation

import (
	"crypto/sha256"
	"time"
)

// Published is a bundle with every encoding of it, made once when the state
// changes and served from memory. It is a value: whoever has it never changes it.
type Published struct {
	Bundle   *Bundle
	Document []byte            // canonical SPIFFE bundle document
	Digest   [sha256.Size]byte // SHA-256 of Document
	ETag     string            // `"<sequence>-<hash>"`, quotes included
	X509DER  []byte            // concatenated DER of the X.509 authorities, as the Workload API sends it
	JWKS     []byte            // standard JWK Set of the JWT authorities alone

	UpdatedAt    time.Time // the proposer's clock when this content was committed
	UpdatedIndex uint64    // the log index that committed it
	Origin       string    // "own", "fetch" or "operator"
}
