package keys

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/concord-id/concord/ca"
)

// A sealed key on disk and in the log:
//
//	"CSK1" | KEK check value (8) | nonce (12) | AES-256-GCM ciphertext | CRC-32C of all before (4)
//
// The checksum tells damage from another key-encryption key; the GCM tag is
// what protects.
const (
	sealedMagic = ca.SealedMagic
	checkBytes  = ca.KEKCheckBytes
	nonceBytes  = 12
	tagBytes    = 16
	crcBytes    = 4
	leastSealed = len(sealedMagic) + checkBytes + nonceBytes + tagBytes + crcBytes
	mostSealed  = 16 << 10 // an RSA-4096 key takes 2.4 KiB
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type envelope struct {
	check      [checkBytes]byte
	nonce      []byte
	ciphertext []byte // with its tag
}

func (e envelope) encode() []byte {
	out := make([]byte, 0, leastSealed+len(e.ciphertext))
	out = append(out, sealedMagic...)
	out = append(out, e.check[:]...)
	out = append(out, e.nonce...)
	out = append(out, e.ciphertext...)
	return binary.BigEndian.AppendUint32(out, crc32.Checksum(out, castagnoli))
}

func isSealed(data []byte) bool { return bytes.HasPrefix(data, []byte(sealedMagic)) }

func decodeEnvelope(data []byte) (envelope, error) {
	if bytes.HasPrefix(data, []byte(memoryMagic)) {
		return envelope{}, fmt.Errorf("%w: it lived in the memory of a process that has ended (key-manager: memory); found the domain anew, or restore a backup whose keys are sealed", ErrKeyLost)
	}
	if len(data) < leastSealed || len(data) > mostSealed || !isSealed(data) {
		return envelope{}, fmt.Errorf("%w: %d bytes that are no sealed key. Restore the data directory from a backup", ErrCorrupt, len(data))
	}
	body, sum := data[:len(data)-crcBytes], binary.BigEndian.Uint32(data[len(data)-crcBytes:])
	if crc32.Checksum(body, castagnoli) != sum {
		return envelope{}, fmt.Errorf("%w: its checksum is wrong. Restore the data directory from a backup", ErrCorrupt)
	}
	var e envelope
	rest := body[len(sealedMagic):]
	copy(e.check[:], rest)
	e.nonce = rest[checkBytes : checkBytes+nonceBytes]
	e.ciphertext = rest[checkBytes+nonceBytes:]
	return e, nil
}

// associated is what a ciphertext is bound to. Each part is preceded by its
// length, so that no two bindings have the same bytes.
func associated(b ca.Binding, check [checkBytes]byte) []byte {
	var out []byte
	for _, part := range []string{"concord sealed key 1", b.Cluster, b.TrustDomain.Name(), b.Use.String(), b.Authority, string(check[:])} {
		out = binary.BigEndian.AppendUint32(out, uint32(len(part)))
		out = append(out, part...)
	}
	return out
}
