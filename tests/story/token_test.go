package story

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

// headerOf returns the JOSE header of a compact JWS.
func headerOf(t *testing.T, token string) map[string]any {
	t.Helper()
	first, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		t.Fatal(err)
	}
	var header map[string]any
	if err := json.Unmarshal(text, &header); err != nil {
		t.Fatal(err)
	}
	return header
}

// raw is a JSON document as the body of a request.
func raw(document []byte) json.RawMessage { return document }
