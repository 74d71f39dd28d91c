package state

import (
	"fmt"
	"time"
)

// Settings are the domain's policy on time, the same on all nodes.
type Settings struct {
	// RefreshHint is how often others are told to fetch our bundle: whole
	// seconds (Trust Domain and Bundle §4.1.2).
	RefreshHint time.Duration
	// PublicationWindow is how long an authority is published before it signs.
	// Negative: three times the largest refresh hint served meanwhile. Zero is
	// for laboratories: nobody has time to learn of the key.
	PublicationWindow time.Duration

	X509TTL         time.Duration // of an X.509-SVID whose entry says nothing
	JWTTTL          time.Duration // of a JWT-SVID whose entry says nothing
	IntermediateTTL time.Duration // of a node's intermediate
	RootTTL         time.Duration // of an authority
}

// FromHint as PublicationWindow means three times the largest hint served.
const FromHint time.Duration = -1

// Bounds of Settings.
const (
	MinRefreshHint = time.Second
	MaxRefreshHint = 7 * 24 * time.Hour
	MaxTTL         = 100 * 365 * 24 * time.Hour
)

// DefaultSettings are used where nothing is configured.
func DefaultSettings() Settings {
	return Settings{
		RefreshHint:       time.Minute,
		PublicationWindow: FromHint,
		X509TTL:           time.Hour,
		JWTTTL:            5 * time.Minute,
		IntermediateTTL:   24 * time.Hour,
		RootTTL:           90 * 24 * time.Hour,
	}
}

// Validate says which setting is wrong, and its bounds.
func (s Settings) Validate() error {
	switch {
	case s.RefreshHint < MinRefreshHint || s.RefreshHint > MaxRefreshHint:
		return fmt.Errorf("refresh hint %s is not between %s and %s", s.RefreshHint, MinRefreshHint, MaxRefreshHint)
	case s.RefreshHint%time.Second != 0:
		return fmt.Errorf("refresh hint %s is not in whole seconds", s.RefreshHint)
	case s.PublicationWindow > MaxTTL:
		return fmt.Errorf("publication window %s is longer than %s", s.PublicationWindow, MaxTTL)
	}
	for _, ttl := range []struct {
		name string
		d    time.Duration
	}{
		{"X.509-SVID lifetime", s.X509TTL}, {"JWT-SVID lifetime", s.JWTTTL},
		{"intermediate's lifetime", s.IntermediateTTL}, {"authority's lifetime", s.RootTTL},
	} {
		if ttl.d < time.Second || ttl.d > MaxTTL {
			return fmt.Errorf("%s %s is not between 1s and %s", ttl.name, ttl.d, MaxTTL)
		}
	}
	return s.validateChain()
}

// validateChain wants each link to outlive what it signs.
func (s Settings) validateChain() error {
	switch {
	case s.X509TTL > s.IntermediateTTL:
		return fmt.Errorf("X.509-SVID lifetime %s is longer than the intermediate's %s", s.X509TTL, s.IntermediateTTL)
	case s.IntermediateTTL > s.RootTTL:
		return fmt.Errorf("intermediate's lifetime %s is longer than the authority's %s", s.IntermediateTTL, s.RootTTL)
	case s.JWTTTL > s.RootTTL:
		return fmt.Errorf("JWT-SVID lifetime %s is longer than the authority's %s", s.JWTTTL, s.RootTTL)
	}
	return nil
}
