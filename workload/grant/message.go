package grant

import (
	"bytes"
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Kind is what a stream of the Workload API tells.
type Kind int

// The kinds of streams.
const (
	X509SVIDs   Kind = iota // X509SVIDResponse: SVIDs, keys and the bundles that they need
	X509Bundles             // X509BundlesResponse
	JWTBundles              // JWTBundlesResponse
	kinds
)

// MaxMessageBytes bounds an answer, below the 4 MiB that a gRPC client accepts
// by default. Own SVIDs and the own bundle come first; foreign bundles share
// what is left.
const MaxMessageBytes = 3584 << 10

// Message is one whole answer as it goes over the wire, put together from parts
// that other answers share. It never changes.
type Message struct {
	parts mem.BufferSlice
	size  int
}

// Buffers returns the encoded answer. It is shared by all who send it: nobody
// changes it, and freeing it has no effect.
func (m *Message) Buffers() mem.BufferSlice { return m.parts }

// Size is the encoded answer's length in bytes.
func (m *Message) Size() int { return m.size }

// String says how long m is, and nothing of the keys in it.
func (m *Message) String() string { return fmt.Sprintf("message of %d bytes", m.size) }

// Equal reports whether m and o say the same. Parts that they share are not
// compared byte by byte.
func (m *Message) Equal(o *Message) bool {
	if m == o {
		return true
	}
	if m == nil || o == nil || m.size != o.size || len(m.parts) != len(o.parts) {
		return false
	}
	for i, p := range m.parts {
		a, b := p.ReadOnlyData(), o.parts[i].ReadOnlyData()
		if len(a) != len(b) || len(a) > 0 && &a[0] != &b[0] && !bytes.Equal(a, b) {
			return false
		}
	}
	return true
}

func (m *Message) add(part []byte) {
	m.parts = append(m.parts, mem.SliceBuffer(part))
	m.size += len(part)
}

// The field numbers of the Workload API's messages.
const (
	responseSVIDs     = 1 // X509SVIDResponse.svids
	responseFederated = 3 // X509SVIDResponse.federated_bundles
	x509Bundles       = 2 // X509BundlesResponse.bundles
	jwtBundles        = 1 // JWTBundlesResponse.bundles

	svidID     = 1 // X509SVID.spiffe_id
	svidChain  = 2 // X509SVID.x509_svid
	svidKey    = 3 // X509SVID.x509_svid_key
	svidBundle = 4 // X509SVID.bundle
	svidHint   = 5 // X509SVID.hint
)

// tag returns the tag of a field of bytes; all such tags here are one byte.
func tag(field protowire.Number) []byte { return protowire.AppendTag(nil, field, protowire.BytesType) }

var federatedTag, x509BundlesTag, jwtBundlesTag = tag(responseFederated), tag(x509Bundles), tag(jwtBundles)

func appendField(out []byte, field protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(out, field, protowire.BytesType), value)
}

// svidPart encodes the fields of an X509SVID that are the same in every answer.
func svidPart(id string, chain, key []byte) []byte {
	out := make([]byte, 0, len(id)+len(chain)+len(key)+16)
	out = appendField(out, svidID, []byte(id))
	out = appendField(out, svidChain, chain)
	return appendField(out, svidKey, key)
}

// mapEntry encodes an entry of a map from trust domain to bundle, without the
// map's own tag: its length, then the key, then the value.
func mapEntry(key string, value []byte) []byte {
	size := 1 + protowire.SizeBytes(len(key)) + 1 + protowire.SizeBytes(len(value))
	out := protowire.AppendVarint(make([]byte, 0, size+protowire.SizeVarint(uint64(size))), uint64(size))
	out = appendField(out, 1, []byte(key))
	return appendField(out, 2, value)
}

// x509SVID adds an SVID to an X509SVIDResponse.
func (m *Message) x509SVID(part []byte, hint string, bundle []byte) {
	var hintField []byte
	if hint != "" {
		hintField = appendField(nil, svidHint, []byte(hint))
	}
	head := protowire.AppendVarint(tag(responseSVIDs), uint64(len(part)+len(hintField)+len(bundle)))
	m.add(append(head, hintField...))
	m.add(part)
	m.add(bundle)
}

// mapped adds an entry to a map.
func (m *Message) mapped(tag, entry []byte) {
	m.add(tag)
	m.add(entry)
}
