package state

import (
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/workload"
)

// Limits of an Agent.
const (
	MaxAgentTextBytes = 255 // of Method, CertSerial and Version each
)

// Agent is a host that has shown what it is. A node's embedded agent is an
// ordinary one.
type Agent struct {
	ID           spiffeid.ID // below /spire/agent
	Method       string      // the node attestor: "concord:node"
	Selectors    []attest.Selector
	CertSerial   string    // of its current SVID, in decimal; "" if it has none
	CertNotAfter time.Time // zero if it has none
	AttestedAt   time.Time
	Banned       bool   // only DeleteAgent takes it back
	Version      string // of the agent's program; "" if unknown
}

// Validate says what is wrong with a.
func (a Agent) Validate() error {
	if !workload.IsAgent(a.ID) || len(a.ID.String()) > workload.MaxIDBytes {
		return fmt.Errorf("agent ID %.80q is not below %s", a.ID, workload.AgentPath)
	}
	if a.Method == "" {
		return fmt.Errorf("agent %s has no attestation method", a.ID)
	}
	for _, text := range []string{a.Method, a.CertSerial, a.Version} {
		if len(text) > MaxAgentTextBytes || !utf8.ValidString(text) {
			return fmt.Errorf("agent %s has a method, serial number or version that is not UTF-8 of at most %d bytes: %.40q", a.ID, MaxAgentTextBytes, text)
		}
	}
	return validateSelectors(a.ID, a.Selectors)
}

func validateSelectors(id spiffeid.ID, selectors []attest.Selector) error {
	if len(selectors) > attest.MaxSelectors {
		return fmt.Errorf("agent %s has %d selectors, the most is %d", id, len(selectors), attest.MaxSelectors)
	}
	for i, s := range selectors {
		if err := s.Validate(); err != nil {
			return fmt.Errorf("agent %s: %w", id, err)
		}
		if i > 0 && selectors[i-1].Compare(s) >= 0 {
			return fmt.Errorf("agent %s: selectors are not sorted, or %.80q is there twice", id, s)
		}
	}
	return nil
}
