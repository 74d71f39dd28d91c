package workload

import (
	"fmt"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// MaxTrustDomainBytes bounds a trust domain's name (SPIFFE-ID §2.3).
const MaxTrustDomainBytes = 255

const scheme = "spiffe://"

// ParseID reads a SPIFFE ID as it came from outside. The ID is taken byte for
// byte or refused: nothing is decoded, folded to lower case or normalised
// (SPIFFE-ID §2). The error names the byte that is wrong.
func ParseID(text string) (spiffeid.ID, error) {
	if len(text) > MaxIDBytes {
		return spiffeid.ID{}, fmt.Errorf("SPIFFE ID %.80q… has %d bytes, the most is %d", text, len(text), MaxIDBytes)
	}
	rest, ok := strings.CutPrefix(text, scheme)
	if !ok {
		return spiffeid.ID{}, idError(text, 0, "it does not begin with spiffe:// in lower case")
	}
	name, path := rest, ""
	if slash := strings.IndexByte(rest, '/'); slash >= 0 {
		name, path = rest[:slash], rest[slash:]
	}
	if at, wrong := checkName(name); wrong != "" {
		return spiffeid.ID{}, idError(text, len(scheme)+at, wrong)
	}
	if at, wrong := checkPath(path); wrong != "" {
		return spiffeid.ID{}, idError(text, len(scheme)+len(name)+at, wrong)
	}
	id, err := spiffeid.FromString(text)
	if err != nil {
		return spiffeid.ID{}, fmt.Errorf("SPIFFE ID %.80q: %w", text, err)
	}
	return id, nil
}

// ParseTrustDomain reads a trust domain's name, with or without spiffe:// in
// front. A path is refused, a single trailing slash too (SPIFFE-ID §2.2).
func ParseTrustDomain(text string) (spiffeid.TrustDomain, error) {
	name := strings.TrimPrefix(text, scheme)
	if at, wrong := checkName(name); wrong != "" {
		return spiffeid.TrustDomain{}, fmt.Errorf("trust domain %.80q is wrong at byte %d: %s", text, len(text)-len(name)+at, wrong)
	}
	td, err := spiffeid.TrustDomainFromString(name)
	if err != nil {
		return spiffeid.TrustDomain{}, fmt.Errorf("trust domain %.80q: %w", text, err)
	}
	return td, nil
}

func idError(text string, at int, wrong string) error {
	return fmt.Errorf("SPIFFE ID %.80q is wrong at byte %d: %s", text, at, wrong)
}

// checkName says where and how a trust domain's name is wrong, "" if it is not.
func checkName(name string) (at int, wrong string) {
	if name == "" {
		return 0, "the trust domain's name is missing"
	}
	for i := range len(name) {
		if c := name[i]; !isNameByte(c) {
			return i, "a trust domain's name " + describeByte(c, "lower-case letters, digits, dots, dashes and underscores")
		}
	}
	if len(name) > MaxTrustDomainBytes {
		return MaxTrustDomainBytes, fmt.Sprintf("the trust domain's name has %d bytes, the most is %d", len(name), MaxTrustDomainBytes)
	}
	return 0, ""
}

// checkPath says where and how a path is wrong, "" if it is not. An empty path
// is a trust domain's own ID.
func checkPath(path string) (at int, wrong string) {
	start := 1 // of the segment being read; path begins with a slash
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			if c := path[i]; !isSegmentByte(c) {
				return i, "a path segment " + describeByte(c, "letters, digits, dots, dashes and underscores")
			}
			continue
		}
		switch path[start:i] {
		case "":
			if i == len(path) {
				return i - 1, "it ends with a slash"
			}
			return i, "a path segment is empty"
		case ".", "..":
			return start, "a path segment is . or .., which are not resolved"
		}
		start = i + 1
	}
	return 0, ""
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_'
}

func isSegmentByte(c byte) bool {
	return isNameByte(c) || 'A' <= c && c <= 'Z'
}

func describeByte(c byte, allowed string) string {
	return fmt.Sprintf("holds %q; it may hold only %s", string([]byte{c}), allowed)
}

// The names that Concord keeps for itself under /spire.
const (
	ServerPath     = "/spire/server"         // what nodes present to agents and on https_spiffe endpoints
	AgentPath      = "/spire/agent"          // agents live below it, as /spire/agent/<method>/…
	AgentAliasPath = "/spire/agent/concord"  // built-in alias: every node's embedded agent
	SignerPath     = "/spire/concord/signer" // signs what Concord says to Concord
)

// Reserved reports whether path is /spire or below it. Entries may have a
// reserved parent, but never a reserved SPIFFE ID.
func Reserved(path string) bool {
	return path == "/spire" || strings.HasPrefix(path, "/spire/")
}

// ServerID is what td's nodes present to agents and, by default, on the
// https_spiffe endpoint. All nodes of a domain have the same.
func ServerID(td spiffeid.TrustDomain) spiffeid.ID { return spiffeid.RequireFromPath(td, ServerPath) }

// AgentAlias is the built-in alias that is all embedded agents of td's nodes:
// the parent of an entry whose creator gave none.
func AgentAlias(td spiffeid.TrustDomain) spiffeid.ID {
	return spiffeid.RequireFromPath(td, AgentAliasPath)
}

// AgentID is the ID of the embedded agent of the node called node. A name that
// is not one path segment is refused.
func AgentID(td spiffeid.TrustDomain, node string) (spiffeid.ID, error) {
	id, err := spiffeid.FromSegments(td, "spire", "agent", "concord", node)
	if err != nil {
		return spiffeid.ID{}, fmt.Errorf("node name %.80q cannot be part of a SPIFFE ID: use letters, digits, dots, dashes and underscores: %w", node, err)
	}
	if n := len(id.String()); n > MaxIDBytes {
		return spiffeid.ID{}, fmt.Errorf("node name %.80q… makes an agent ID of %d bytes, the most is %d", node, n, MaxIDBytes)
	}
	return id, nil
}

// IsAgent reports whether id is an agent's ID: below /spire/agent.
func IsAgent(id spiffeid.ID) bool { return strings.HasPrefix(id.Path(), AgentPath+"/") }
