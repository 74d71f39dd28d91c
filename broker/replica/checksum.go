package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

// ErrCorrupt means that something on disk is not what was written there.
var ErrCorrupt = errors.New("the data is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sealVersion is the first byte of what is kept in a stored entry's
// Extensions. It changes with the meaning of the rest.
const sealVersion = 1

// sealEntry returns a copy of log with a checksum of all of it. Extensions are
// ours: nobody else here uses them, and they are not replicated.
func sealEntry(log *raft.Log) *raft.Log {
	sealed := *log
	sealed.Extensions = binary.BigEndian.AppendUint32([]byte{sealVersion}, sumEntry(log))
	return &sealed
}

// unsealEntry checks an entry that was stored under index and takes its
// checksum off.
func unsealEntry(index uint64, log *raft.Log) error {
	seal := log.Extensions
	switch {
	case log.Index != index:
		return fmt.Errorf("%w: under index %d stands the entry of index %d", ErrCorrupt, index, log.Index)
	case len(seal) != 5 || seal[0] != sealVersion:
		return fmt.Errorf("%w: log entry %d has no checksum that this version knows", ErrCorrupt, index)
	case binary.BigEndian.Uint32(seal[1:]) != sumEntry(log):
		return fmt.Errorf("%w: log entry %d does not match its checksum", ErrCorrupt, index)
	}
	log.Extensions = nil
	return nil
}

func sumEntry(log *raft.Log) uint32 {
	var head [25]byte
	binary.BigEndian.PutUint64(head[0:], log.Index)
	binary.BigEndian.PutUint64(head[8:], log.Term)
	head[16] = byte(log.Type)
	if !log.AppendedAt.IsZero() {
		binary.BigEndian.PutUint64(head[17:], uint64(log.AppendedAt.UnixNano()))
	}
	return crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, log.Data)
}

// sealValue appends to value a checksum of it and of the key that it stands under.
func sealValue(key, value []byte) []byte {
	sealed := make([]byte, 0, len(value)+4)
	sealed = append(sealed, value...)
	return binary.BigEndian.AppendUint32(sealed, sumValue(key, value))
}

func unsealValue(key, sealed []byte) ([]byte, error) {
	at := len(sealed) - 4
	if at < 0 || binary.BigEndian.Uint32(sealed[at:]) != sumValue(key, sealed[:at]) {
		return nil, fmt.Errorf("%w: %s does not match its checksum", ErrCorrupt, key)
	}
	return sealed[:at:at], nil
}

func sumValue(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

func encodeUint64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func decodeUint64(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("%w: a number has %d bytes", ErrCorrupt, len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}
