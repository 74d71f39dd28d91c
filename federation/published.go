package federation

import (
	"crypto/sha256"
	"fmt"
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

// etagBytes of the digest are in an ETag: enough that nobody makes two
// documents with one.
const etagBytes = 16

// Publish makes every encoding of b. Its Bundle is in canonical order; when it
// was committed and whence it came is for the caller to say. It fails where
// Marshal fails, so never for what Parse returned.
func Publish(b *Bundle) (*Published, error) {
	p := &Published{Bundle: b.Canonical()}
	var err error
	if p.Document, err = p.Bundle.Marshal(); err != nil {
		return nil, err
	}
	if p.JWKS, err = p.Bundle.jwks(); err != nil {
		return nil, err
	}
	for _, cert := range p.Bundle.X509 {
		p.X509DER = append(p.X509DER, cert.Raw...)
	}
	p.Digest = sha256.Sum256(p.Document)
	p.ETag = fmt.Sprintf(`"%d-%x"`, p.Bundle.Sequence, p.Digest[:etagBytes])
	return p, nil
}
