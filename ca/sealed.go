package ca

import (
	"encoding/hex"
	"strings"
)

// SealedMagic begins every private key that is sealed with a key-encryption key
// (KEK); KEKCheckBytes bytes that name the KEK follow.
const (
	SealedMagic   = "CSK1"
	KEKCheckBytes = 8
)

// SealedBy names the key-encryption key that sealed a private key: 16 lower-case
// hex digits; "" if it was not sealed with one. It looks at nothing else.
func SealedBy(sealed []byte) string {
	if len(sealed) < len(SealedMagic)+KEKCheckBytes || !strings.HasPrefix(string(sealed[:len(SealedMagic)]), SealedMagic) {
		return ""
	}
	return hex.EncodeToString(sealed[len(SealedMagic):][:KEKCheckBytes])
}
