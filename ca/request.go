package ca

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Bounds on what an SVID says.
const (
	MaxIDBytes          = 2048 // SPIFFE-ID §2.3
	MaxTrustDomainBytes = 255  // SPIFFE-ID §2.3
	MaxDNSNames         = 64
	MaxDNSNameBytes     = 253
	MaxSubjectBytes     = 4 << 10 // of a minted subject, as DER
	MaxAudiences        = 64
	MaxAudienceBytes    = 4 << 10 // of all audiences of a token together
)

// Validate says why no X.509-SVID can say what r asks for. Which trust domain
// the ID is of is the issuer's to check.
func (r X509Request) Validate() error {
	if err := checkID(r.ID); err != nil {
		return err
	}
	if r.TTL <= 0 {
		return fmt.Errorf("an X.509-SVID cannot live %s: choose a positive life", r.TTL)
	}
	if len(r.DNSNames) > MaxDNSNames {
		return fmt.Errorf("an X.509-SVID cannot have %d DNS names, the most is %d", len(r.DNSNames), MaxDNSNames)
	}
	for _, name := range r.DNSNames {
		if err := CheckDNSName(name); err != nil {
			return err
		}
	}
	return CheckPublicKey(r.PublicKey)
}

// Validate says why no JWT-SVID can say what r asks for.
func (r JWTRequest) Validate() error {
	if err := checkID(r.ID); err != nil {
		return err
	}
	if r.TTL <= 0 {
		return fmt.Errorf("a JWT-SVID cannot live %s: choose a positive life (JWT-SVID §3.3)", r.TTL)
	}
	return CheckAudience(r.Audience)
}

// CheckAudience says why no token can be for these audiences: there is at
// least one, none is empty (JWT-SVID §3.2), and together they are bounded.
func CheckAudience(audience []string) error {
	if len(audience) == 0 {
		return errors.New("a JWT-SVID needs at least one audience: name who will validate it (JWT-SVID §3.2)")
	}
	if len(audience) > MaxAudiences {
		return fmt.Errorf("a JWT-SVID cannot have %d audiences, the most is %d", len(audience), MaxAudiences)
	}
	size := 0
	for i, a := range audience {
		if a == "" {
			return fmt.Errorf("audience %d of the JWT-SVID is empty: name who will validate it (JWT-SVID §3.2)", i)
		}
		if !utf8.ValidString(a) {
			return fmt.Errorf("audience %d of the JWT-SVID is not UTF-8", i)
		}
		size += len(a)
	}
	if size > MaxAudienceBytes {
		return fmt.Errorf("the audiences of the JWT-SVID have %d bytes together, the most is %d", size, MaxAudienceBytes)
	}
	return nil
}

// checkID holds the rules of an ID that a leaf carries (X509-SVID §3.1:
// non-root path; SPIFFE-ID §2.3: lengths). Its syntax is spiffeid's.
func checkID(id spiffeid.ID) error {
	switch {
	case id.IsZero():
		return errors.New("there is no SPIFFE ID to issue an SVID for")
	case id.Path() == "":
		return fmt.Errorf("%s names the trust domain itself: a workload's SPIFFE ID has a path (X509-SVID §3.1)", id)
	case len(id.String()) > MaxIDBytes:
		return fmt.Errorf("the SPIFFE ID %.80q… has %d bytes, the most is %d (SPIFFE-ID §2.3)", id.String(), len(id.String()), MaxIDBytes)
	case len(id.TrustDomain().Name()) > MaxTrustDomainBytes:
		return fmt.Errorf("the trust domain name %.80q… has %d bytes, the most is %d (SPIFFE-ID §2.3)", id.TrustDomain().Name(), len(id.TrustDomain().Name()), MaxTrustDomainBytes)
	}
	return nil
}

// CheckDNSName says why no X.509-SVID carries name. Labels are letters,
// digits, "-" and "_"; the first may be "*".
func CheckDNSName(name string) error {
	bad := func(why string) error { return fmt.Errorf("DNS name %.80q %s", name, why) }
	if name == "" || len(name) > MaxDNSNameBytes {
		return bad(fmt.Sprintf("has %d bytes: it must have 1 to %d", len(name), MaxDNSNameBytes))
	}
	rest := strings.TrimPrefix(name, "*.")
	for label := range strings.SplitSeq(rest, ".") {
		if label == "" || len(label) > 63 {
			return bad("has a label that is empty or longer than 63 bytes")
		}
		if label[0] == '-' || label[len(label)-1] == '-' {
			return bad("has a label that begins or ends with a hyphen")
		}
		for i := range len(label) {
			if !dnsByte(label[i]) {
				return bad(fmt.Sprintf("has the byte %q in a label: letters, digits, hyphens and underscores are allowed", label[i]))
			}
		}
	}
	return nil
}

func dnsByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}
