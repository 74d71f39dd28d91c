package keys

import "encoding/hex"

// KEKOf names the key-encryption key that a sealed key needs, as Sealed.ID does;
// "" if sealed is not a key that Sealed made.
func KEKOf(sealed []byte) string {
	env, err := decodeEnvelope(sealed)
	if err != nil {
		return ""
	}
	return hex.EncodeToString(env.check[:])
}
