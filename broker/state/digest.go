package state

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// sum is the sum, modulo 2^256, of the hashes of all records. Apply keeps it by
// adding what comes and subtracting what goes, so that it costs the same with
// ten entries and with a million, and does not depend on the way.
type sum [4]uint64 // the least significant first

func (s *sum) add(h [sha256.Size]byte) {
	var carry uint64
	for i, v := range words(h) {
		s[i], carry = bits.Add64(s[i], v, carry)
	}
}

func (s *sum) subtract(h [sha256.Size]byte) {
	var borrow uint64
	for i, v := range words(h) {
		s[i], borrow = bits.Sub64(s[i], v, borrow)
	}
}

func (s *sum) bytes() [sha256.Size]byte {
	var out [sha256.Size]byte
	for i, v := range s {
		binary.LittleEndian.PutUint64(out[8*i:], v)
	}
	return out
}

func words(h [sha256.Size]byte) [4]uint64 {
	var w [4]uint64
	for i := range w {
		w[i] = binary.LittleEndian.Uint64(h[8*i:])
	}
	return w
}
