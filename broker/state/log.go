package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"unicode/utf8"

	"github.com/concord-id/concord/broker"
)

// The errors of reading a log or a snapshot. All of them stop the node.
var (
	// ErrUnknownCommand means that a newer version of Concord wrote it.
	ErrUnknownCommand = errors.New("written by a newer version of Concord: upgrade this node")
	// ErrCorrupt means that it is not what was written.
	ErrCorrupt = errors.New("damaged")
)

// Limits of a log entry.
const (
	MaxCommandBytes   = 1 << 20 // an encoded command
	MaxActorBytes     = 4096
	MaxCauseBytes     = 1024
	MaxRequestIDBytes = 255
)

// A log entry is its format's version, the command's kind, the fields of the
// act and the command, and a checksum. Every format, present and future, ends
// in the checksum of all that is before it, so that damage is never taken for a
// newer version, nor the other way round.
const (
	logFormat     = 1
	logHeadBytes  = 2
	checksumBytes = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode writes a command as a log entry. It refuses, as InvalidArgument, an
// act without actor or time, what the command's Validate refuses, and what
// Decode would not read: that would stop every node.
func Encode(act broker.Act, c Command) ([]byte, error) {
	if err := errors.Join(validateAct(act), c.Validate()); err != nil {
		return nil, broker.Refuse(broker.InvalidArgument, "%v", err)
	}
	e := emitter{layout: wire{}, bytes: []byte{logFormat, byte(c.kind())}}
	entryFields(&e, &act, &c)
	if len(e.bytes)+checksumBytes > MaxCommandBytes {
		return nil, broker.Refuse(broker.ResourceExhausted, "%s of %s has %d bytes, the most is %d", c.kind(), c.subject(), len(e.bytes), MaxCommandBytes)
	}
	entry := seal(e.bytes)
	if _, _, err := Decode(entry); err != nil {
		return nil, broker.Refuse(broker.InvalidArgument, "%s of %.80q cannot be written down: %v", c.kind(), c.subject(), err)
	}
	return entry, nil
}

// Decode reads a log entry. Its errors are ErrUnknownCommand and ErrCorrupt,
// with the place.
func Decode(entry []byte) (broker.Act, Command, error) {
	head, err := unseal(entry)
	if err != nil {
		return broker.Act{}, nil, fmt.Errorf("log entry: %w", err)
	}
	if head[0] != logFormat {
		return broker.Act{}, nil, fmt.Errorf("log entry has format %d, this version knows %d: %w", head[0], logFormat, ErrUnknownCommand)
	}
	which, ok := known[kind(head[1])]
	if !ok {
		return broker.Act{}, nil, fmt.Errorf("log entry has command %d, which this version does not know: %w", head[1], ErrUnknownCommand)
	}
	r := reader{rest: head[logHeadBytes:], at: logHeadBytes}
	var act broker.Act
	command := which.empty
	entryFields(&r, &act, &command)
	if err := r.end(); err != nil {
		return broker.Act{}, nil, fmt.Errorf("log entry %s: %w", which.name, err)
	}
	return act, command, nil
}

func entryFields(v visitor, act *broker.Act, c *Command) {
	v.group(1, "act", func() {
		v.text(1, "actor", &act.Actor)
		v.text(2, "cause", &act.Cause)
		v.text(3, "request_id", &act.RequestID)
		v.moment(4, "at", &act.At)
	})
	v.group(2, "command", func() { *c = (*c).fields(v) })
}

// validateAct wants an author and a time: every change has them.
func validateAct(act broker.Act) error {
	for _, text := range []struct {
		name, value string
		most        int
	}{
		{"actor", act.Actor, MaxActorBytes}, {"cause", act.Cause, MaxCauseBytes}, {"request ID", act.RequestID, MaxRequestIDBytes},
	} {
		if len(text.value) > text.most || !utf8.ValidString(text.value) {
			return fmt.Errorf("the %s is not UTF-8 of at most %d bytes: %.40q", text.name, text.most, text.value)
		}
	}
	switch {
	case act.Actor == "":
		return errors.New("the change has no actor")
	case act.At.Unix() <= firstMoment || act.At.Unix() > lastMoment:
		return fmt.Errorf("the change's time %s is not between the years 1 and 9999", act.At)
	}
	return nil
}

// seal appends the checksum.
func seal(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// unseal verifies the checksum and takes it off.
func unseal(b []byte) ([]byte, error) {
	switch {
	case len(b) < logHeadBytes+checksumBytes:
		return nil, fmt.Errorf("it has %d bytes: %w", len(b), ErrCorrupt)
	case len(b) > MaxCommandBytes:
		return nil, fmt.Errorf("it has %d bytes, the most is %d: %w", len(b), MaxCommandBytes, ErrCorrupt)
	}
	end := len(b) - checksumBytes
	if want, have := binary.BigEndian.Uint32(b[end:]), crc32.Checksum(b[:end], castagnoli); want != have {
		return nil, fmt.Errorf("its checksum is %08x and should be %08x: %w", have, want, ErrCorrupt)
	}
	return b[:end], nil
}
