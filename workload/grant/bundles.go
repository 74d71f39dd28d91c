package grant

import (
	"cmp"
	"slices"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/federation"
)

// bundlePart is a bundle in the encodings of the Workload API, made once for
// all answers that show it.
type bundlePart struct {
	published *federation.Published
	domain    spiffeid.TrustDomain
	inSVID    []byte // X509SVID.bundle; only of the own bundle
	x509      []byte // entry of a map of X.509 bundles; nil if it has no X.509 authority
	jwt       []byte // entry of a map of JWT bundles; nil if it has no JWT authority
}

// bundleParts are the encodings of the bundles in use.
type bundleParts map[spiffeid.TrustDomain]*bundlePart

// own returns the part of this domain's bundle. It is in every answer, also
// with no authority of a kind (Workload API §5.2.2, §6.2.2).
func (b bundleParts) own(p *federation.Published) *bundlePart {
	td := p.Bundle.TrustDomain
	if known := b[td]; known != nil && known.published == p {
		return known
	}
	part := &bundlePart{
		published: p,
		domain:    td,
		inSVID:    appendField(nil, svidBundle, p.X509DER),
		x509:      mapEntry(td.IDString(), p.X509DER),
		jwt:       mapEntry(td.IDString(), p.JWKS),
	}
	b[td] = part
	return part
}

// foreign returns the part of another domain's bundle, nil if there is no
// bundle. A domain without authorities of a kind is not in the answers of that
// kind: nothing of it is trusted (Trust Domain and Bundle §4.1.3).
func (b bundleParts) foreign(td spiffeid.TrustDomain, p *federation.Published) *bundlePart {
	b.drop(td, p)
	if p == nil {
		return nil
	}
	if known := b[td]; known != nil {
		return known
	}
	part := &bundlePart{published: p, domain: td}
	if len(p.X509DER) > 0 {
		part.x509 = mapEntry(td.IDString(), p.X509DER)
	}
	if len(p.Bundle.JWT) > 0 {
		part.jwt = mapEntry(td.IDString(), p.JWKS)
	}
	b[td] = part
	return part
}

// drop forgets the part of td's bundle if it is not of p.
func (b bundleParts) drop(td spiffeid.TrustDomain, p *federation.Published) {
	if known := b[td]; known != nil && known.published != p {
		delete(b, td)
	}
}

func (p *bundlePart) x509Entry() []byte { return p.x509 }
func (p *bundlePart) jwtEntry() []byte  { return p.jwt }

// fit returns the entries of the parts that fit into room bytes together, by
// trust domain, and the domains of the others. Small bundles are taken first:
// who publishes a large one pays for it. A bundle beyond a peer's share is
// never taken.
func fit(parts []*bundlePart, entry func(*bundlePart) []byte, room int) (taken [][]byte, left []spiffeid.TrustDomain) {
	wanted := slices.DeleteFunc(slices.Clone(parts), func(p *bundlePart) bool { return entry(p) == nil })
	slices.SortStableFunc(wanted, func(a, b *bundlePart) int { return cmp.Compare(len(entry(a)), len(entry(b))) })
	fits := 0
	for _, p := range wanted {
		size := len(entry(p)) + 1 // the tag
		if size > room || size > federation.MaxBundleBytes+maxMapOverhead {
			break
		}
		room -= size
		fits++
	}
	byDomain := func(a, b *bundlePart) int { return a.domain.Compare(b.domain) }
	slices.SortFunc(wanted[:fits], byDomain)
	slices.SortFunc(wanted[fits:], byDomain)
	for _, p := range wanted[:fits] {
		taken = append(taken, entry(p))
	}
	for _, p := range wanted[fits:] {
		left = append(left, p.domain)
	}
	return taken, left
}

// maxMapOverhead is what a map's entry has besides its bundle: tags, lengths
// and the trust domain's ID.
const maxMapOverhead = 512
