package api

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"

	"github.com/concord-id/concord/workload/grant"
)

// codec writes a grant.Message as the bytes that it already is, shared by all
// streams that send it, and everything else as protobuf.
type codec struct{ encoding.CodecV2 }

func newCodec() encoding.CodecV2 { return codec{encoding.GetCodecV2(proto.Name)} }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(*grant.Message); ok {
		return m.Buffers(), nil
	}
	return c.CodecV2.Marshal(v)
}
