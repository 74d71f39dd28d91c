package federation

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// MaxTrustDomainBytes is the longest name of a trust domain (SPIFFE-ID §2.3).
const MaxTrustDomainBytes = 255

// maxIDBytes is the longest SPIFFE ID (SPIFFE-ID §2.3).
const maxIDBytes = 2048

// Validate says what is wrong with r. All three of trust domain, URL and
// profile are given; none is inferred from another (FD-21, FD-22).
func (r Relationship) Validate() error {
	if r.TrustDomain.IsZero() {
		return errors.New("the relationship names no trust domain: it is never taken from the URL or the bundle")
	}
	if n := len(r.TrustDomain.Name()); n > MaxTrustDomainBytes {
		return fmt.Errorf("the trust domain's name has %d bytes, the most is %d", n, MaxTrustDomainBytes)
	}
	if _, err := ParseURL(r.URL); err != nil {
		return fmt.Errorf("the bundle endpoint URL of %s: %w", r.TrustDomain.Name(), err)
	}
	if err := r.validateProfile(); err != nil {
		return fmt.Errorf("the relationship with %s: %w", r.TrustDomain.Name(), err)
	}
	return nil
}

func (r Relationship) validateProfile() error {
	switch r.Profile {
	case HTTPSSPIFFE:
		switch {
		case r.EndpointID.IsZero():
			return fmt.Errorf("profile %s needs the SPIFFE ID that the endpoint presents", HTTPSSPIFFE)
		case r.EndpointID.Path() == "":
			return fmt.Errorf("endpoint ID %q has no path: it would be a signing authority, which never presents itself (X509-SVID §3.1)", r.EndpointID)
		case len(r.EndpointID.String()) > maxIDBytes || len(r.EndpointID.TrustDomain().Name()) > MaxTrustDomainBytes:
			return fmt.Errorf("the endpoint ID is longer than %d bytes or its trust domain longer than %d", maxIDBytes, MaxTrustDomainBytes)
		case len(r.Roots) > 0:
			return fmt.Errorf("profile %s takes no CA certificates: the endpoint is vouched for by its trust domain's bundle", HTTPSSPIFFE)
		}
		return nil
	case HTTPSWeb:
		if !r.EndpointID.IsZero() {
			return fmt.Errorf("profile %s takes no endpoint ID: the endpoint is known by its host name", HTTPSWeb)
		}
		if len(r.Roots) == 0 {
			return nil
		}
		if _, err := ParseRoots(r.Roots); err != nil {
			return fmt.Errorf("its CA certificates: %w", err)
		}
		return nil
	}
	return fmt.Errorf("profile %.40q must be %s or %s", r.Profile, HTTPSWeb, HTTPSSPIFFE)
}

// ParseURL reads the URL of a bundle endpoint, configured or redirected to
// (SPIFFE Federation §5.2.1.1, §5.2.2.1): https, a host, no userinfo, no
// fragment. Its errors never repeat the URL, which may hold a password.
func ParseURL(text string) (*url.URL, error) {
	if text == "" {
		return nil, errors.New("it is empty: write https://host[:port]/path")
	}
	if len(text) > MaxURLBytes {
		return nil, fmt.Errorf("it has %d bytes, the most is %d", len(text), MaxURLBytes)
	}
	if strings.ContainsAny(text, " \t\r\n") {
		return nil, errors.New("it contains white space")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("it is no URL: write https://host[:port]/path")
	case u.Scheme != "https":
		return nil, errors.New("its scheme must be https")
	case u.User != nil || strings.Contains(u.Host, "@"):
		return nil, errors.New("it must hold no user or password: a bundle endpoint authenticates nobody")
	case u.Opaque != "" || u.Hostname() == "":
		return nil, errors.New("it has no host: write https://host[:port]/path")
	case strings.Contains(text, "#"):
		return nil, errors.New("it must have no fragment (#…)")
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("its port %.10q is not from 1 to 65535", port)
		}
	}
	return u, nil
}
