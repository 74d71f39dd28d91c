package spireapi

import (
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// applyMask clears the fields of m that mask does not name; always are shown
// whatever it names. A mask is a message with one bool for each field that can
// be named; a nil mask names all. A field that the mask has no bool for cannot
// be asked for, and is cleared.
func applyMask(m, mask proto.Message, always ...protoreflect.Name) {
	shown := mask.ProtoReflect()
	if !shown.IsValid() {
		return
	}
	names := shown.Descriptor().Fields()
	message := m.ProtoReflect()
	message.Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		named := names.ByName(field.Name())
		if of := field.ContainingOneof(); of != nil && !of.IsSynthetic() {
			named = names.ByName(of.Name())
		}
		if !slices.Contains(always, field.Name()) && (named == nil || !shown.Get(named).Bool()) {
			message.Clear(field)
		}
		return true
	})
}
