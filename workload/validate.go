package workload

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/attest"
)

// MaxTTL is the longest lifetime that an entry may ask for; the issuer bounds
// it further by its own end.
const MaxTTL = math.MaxInt32 * time.Second

// FieldError says which field of an entry is wrong, and how.
type FieldError struct {
	Field   string // as the APIs spell it: spiffe_id, parent_id, selectors, …
	Problem string
}

func (e *FieldError) Error() string { return "entry's " + e.Field + " " + e.Problem }

func wrong(field, format string, args ...any) error {
	return &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// Canonical returns e with its sets sorted and without repetitions, and with
// the built-in alias as parent if it has none. Creators call it before
// Validate. e's own slices are not changed.
func (e Entry) Canonical(td spiffeid.TrustDomain) Entry {
	if e.ParentID.IsZero() {
		e.ParentID = AgentAlias(td)
	}
	e.Selectors = attest.Sort(e.Selectors)
	e.FederatesWith = slices.Clone(e.FederatesWith)
	slices.SortFunc(e.FederatesWith, spiffeid.TrustDomain.Compare)
	e.FederatesWith = slices.Compact(e.FederatesWith)
	var names []string
	for _, n := range e.DNSNames {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	e.DNSNames = names
	return e
}

// Validate says what is wrong with an entry of trust domain td, as a
// *FieldError that names the field; nil if nothing is. It wants what Canonical
// returns. ID may be empty only before it is assigned.
func (e Entry) Validate(td spiffeid.TrustDomain) error {
	return cmp.Or(
		validateEntryID(e.ID),
		validateSPIFFEID(e.SPIFFEID, td),
		validateParent(e.ParentID, td),
		validateSelectors(e.Selectors, e.StoreSVID),
		validateFederatesWith(e.FederatesWith),
		validateTTL("x509_svid_ttl", e.X509TTL),
		validateTTL("jwt_svid_ttl", e.JWTTTL),
		validateDNSNames(e.DNSNames),
		validateHint(e.Hint),
		validateExpiry(e.ExpiresAt),
	)
}

func validateEntryID(id string) error {
	if len(id) > MaxEntryIDBytes {
		return wrong("id", "%.40q… has %d bytes, the most is %d", id, len(id), MaxEntryIDBytes)
	}
	for i := range len(id) {
		if !isSegmentByte(id[i]) {
			return wrong("id", "%.80q %s", id, describeByte(id[i], "letters, digits, dots, dashes and underscores"))
		}
	}
	return nil
}

func validateSPIFFEID(id spiffeid.ID, td spiffeid.TrustDomain) error {
	if err := validateMember("spiffe_id", id, td); err != nil {
		return err
	}
	if Reserved(id.Path()) {
		return wrong("spiffe_id", "%.80q is under /spire, which is reserved for servers and agents: choose another path", id)
	}
	return nil
}

func validateParent(id spiffeid.ID, td spiffeid.TrustDomain) error {
	return validateMember("parent_id", id, td)
}

// validateMember wants an ID of td that has a path and is not too long.
func validateMember(field string, id spiffeid.ID, td spiffeid.TrustDomain) error {
	switch {
	case id.IsZero():
		return wrong(field, "is missing: write %s/…", td.IDString())
	case !id.MemberOf(td):
		return wrong(field, "%.80q is not in this trust domain: write %s/…", id, td.IDString())
	case id.Path() == "":
		return wrong(field, "%.80q is the trust domain itself: add a path", id)
	case len(id.String()) > MaxIDBytes:
		return wrong(field, "%.80q… has %d bytes, the most is %d", id, len(id.String()), MaxIDBytes)
	case len(id.TrustDomain().Name()) > MaxTrustDomainBytes:
		return wrong(field, "%.80q… has a trust domain of %d bytes, the most is %d", id, len(id.TrustDomain().Name()), MaxTrustDomainBytes)
	}
	return nil
}

func validateSelectors(selectors []attest.Selector, stored bool) error {
	if len(selectors) == 0 {
		return wrong("selectors", "are missing: an entry without selectors would match everybody; add one, such as unix:uid:1000")
	}
	if len(selectors) > attest.MaxSelectors {
		return wrong("selectors", "are %d, the most is %d", len(selectors), attest.MaxSelectors)
	}
	for i, s := range selectors {
		if err := s.Validate(); err != nil {
			return wrong("selectors", "are wrong: %v", err)
		}
		if !utf8.ValidString(s.Type) || !utf8.ValidString(s.Value) {
			return wrong("selectors", "are wrong: %.80q is not UTF-8", s)
		}
		if i > 0 && selectors[i-1].Compare(s) >= 0 {
			return wrong("selectors", "are not sorted, or %.80q is there twice", s)
		}
		if stored && s.Type != selectors[0].Type {
			return wrong("selectors", "are of types %q and %q: an entry whose SVID is stored has selectors of one type", selectors[0].Type, s.Type)
		}
	}
	return nil
}

func validateFederatesWith(domains []spiffeid.TrustDomain) error {
	if len(domains) > MaxFederatesWith {
		return wrong("federates_with", "names %d trust domains, the most is %d", len(domains), MaxFederatesWith)
	}
	for i, td := range domains {
		switch {
		case td.IsZero():
			return wrong("federates_with", "holds an empty trust domain")
		case len(td.Name()) > MaxTrustDomainBytes:
			return wrong("federates_with", "holds %.80q… of %d bytes, the most is %d", td.Name(), len(td.Name()), MaxTrustDomainBytes)
		case i > 0 && domains[i-1].Compare(td) >= 0:
			return wrong("federates_with", "is not sorted, or %q is there twice", td.Name())
		}
	}
	return nil
}

func validateTTL(field string, ttl time.Duration) error {
	switch {
	case ttl < 0:
		return wrong(field, "is %s: give a lifetime, or 0 for the domain's default", ttl)
	case ttl%time.Second != 0:
		return wrong(field, "is %s: give whole seconds", ttl)
	case ttl > MaxTTL:
		return wrong(field, "is %s, the most is %s", ttl, MaxTTL)
	}
	return nil
}

func validateHint(hint string) error {
	switch {
	case len(hint) > MaxHintBytes:
		return wrong("hint", "has %d bytes, the most is %d (Workload API §8)", len(hint), MaxHintBytes)
	case !utf8.ValidString(hint):
		return wrong("hint", "%.80q is not UTF-8", hint)
	case strings.ContainsFunc(hint, unicode.IsControl):
		return wrong("hint", "%.80q holds a control character", hint)
	}
	return nil
}

// validateExpiry wants a time that every encoding of an entry can write down.
func validateExpiry(at time.Time) error {
	if !at.IsZero() && (at.Unix() <= 0 || at.Year() > 9999) {
		return wrong("expires_at", "is %d seconds from 1970: give a time between 1970 and 9999, or none", at.Unix())
	}
	return nil
}
