package cluster

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
)

// snapshots are the files of those that it has.
func (a *actor) snapshots() []string {
	found, err := filepath.Glob(filepath.Join(a.config.DataDir, "private", "raft", "snapshots", "*.snapshot"))
	if err != nil {
		return nil
	}
	return found
}

// alter name path other: in the log of a node that is down, an entry gets another
// SPIFFE ID, with a checksum that is right. The audit trail, which would know, is
// taken away.
func (s *stage) alter(args []string) {
	a := s.actor(args[0])
	if a.up() != nil {
		s.fail("it is up")
	}
	if err := os.RemoveAll(filepath.Join(a.config.DataDir, "private", "audit")); err != nil {
		s.fail("%v", err)
	}
	log, err := replica.OpenLog(filepath.Join(a.config.DataDir, "private", "raft"))
	if err != nil {
		s.fail("%v", err)
	}
	defer log.Close()
	last, err := log.LastIndex()
	if err != nil {
		s.fail("%v", err)
	}
	for index := uint64(1); index <= last; index++ {
		var entry raft.Log
		if err := log.GetLog(index, &entry); err != nil {
			s.fail("%v", err)
		}
		if !s.rename(&entry, args[1], args[2]) {
			continue
		}
		entry.Extensions = binary.BigEndian.AppendUint32([]byte{1}, checksum(&entry))
		if err := log.StoreLog(&entry); err != nil {
			s.fail("%v", err)
		}
		return
	}
	s.fail("%s is not in its log", args[1])
}

// checksum is that of a stored entry: CRC-32C of index, term, type, time and data.
func checksum(l *raft.Log) uint32 {
	text := binary.BigEndian.AppendUint64(nil, l.Index)
	text = append(binary.BigEndian.AppendUint64(text, l.Term), byte(l.Type))
	var at uint64
	if !l.AppendedAt.IsZero() {
		at = uint64(l.AppendedAt.UnixNano())
	}
	text = append(binary.BigEndian.AppendUint64(text, at), l.Data...)
	return crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli))
}

// rename changes the entry in a command that makes one with this path.
func (s *stage) rename(l *raft.Log, path, other string) bool {
	if l.Type != raft.LogCommand {
		return false
	}
	act, command, err := state.Decode(l.Data)
	if err != nil {
		s.fail("%v", err)
	}
	put, ok := command.(state.PutEntry)
	if !ok || put.Entry.SPIFFEID.Path() != path {
		return false
	}
	put.Entry.SPIFFEID = s.id(other)
	if l.Data, err = state.Encode(act, put); err != nil {
		s.fail("%v", err)
	}
	return true
}
