package fetch

import (
	"crypto/sha256"
	"net/http"
	"strings"

	"github.com/concord-id/concord/federation"
)

// maxETag bounds what is remembered and sent back to a peer.
const maxETag = 256

// etagOf returns the entity tag of a response, "" if there is none or it is not
// one (RFC 9110 §8.8.3): it will be a header of the next request.
func etagOf(h http.Header) string {
	values := h.Values("Etag")
	if len(values) != 1 || len(values[0]) > maxETag {
		return ""
	}
	opaque, ok := strings.CutPrefix(strings.TrimPrefix(values[0], "W/"), `"`)
	if !ok {
		return ""
	}
	opaque, ok = strings.CutSuffix(opaque, `"`)
	if !ok || strings.ContainsFunc(opaque, func(r rune) bool { return r < 0x21 || r > 0x7e || r == '"' }) {
		return ""
	}
	return values[0]
}

// validator is the entity tag of a document that was accepted, with what makes
// it worth sending.
type validator struct {
	etag   string
	url    string            // which gave it
	digest [sha256.Size]byte // of the bundle that we hold because of it
}

// tag returns the tag to send to url while held is what we hold; "" if an
// answer of "not modified" would be about another document.
func (v validator) tag(url string, held *federation.Published) string {
	if held == nil || held.Digest != v.digest || url != v.url {
		return ""
	}
	return v.etag
}
