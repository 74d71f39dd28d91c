package state

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"io"
)

// A snapshot is a magic word and its format's version, then records, each with
// its length before it: the header, the records of all tables in the order of
// their kinds and keys, and the trailer; at the end the SHA-256 of all before
// it. Equal states give equal bytes. Every format, present and future, begins
// and ends so.
const (
	snapshotMagic  = "concord state"
	snapshotFormat = 1

	recordHeader  recordKind = 0
	recordTrailer recordKind = 255

	// maxRecordBytes is more than a record has whose command fits into the log.
	maxRecordBytes = 2 * MaxCommandBytes
)

// header is a snapshot's first record, trailer its last.
type (
	header struct {
		Index uint64
		Head  [sha256.Size]byte
	}
	trailer struct {
		Records uint64
		Digest  [sha256.Size]byte
	}
)

func (h *header) fields(v visitor) {
	v.count(1, "index", &h.Index)
	sha(v, 2, "head", &h.Head)
}

func (t *trailer) fields(v visitor) {
	v.count(1, "records", &t.Records)
	sha(v, 2, "digest", &t.Digest)
}

// WriteTo writes a snapshot, which Restore reads.
func (v *View) WriteTo(w io.Writer) (int64, error) {
	sum := sha256.New()
	s := snapshotWriter{out: bufio.NewWriterSize(io.MultiWriter(w, sum), 64<<10)}
	s.write(append([]byte(snapshotMagic), snapshotFormat))
	head := header{v.index, v.head}
	s.record(recordHeader, head.fields)
	var records uint64
	for _, t := range v.stored() {
		t.each(func(fields func(visitor)) bool {
			s.record(t.number(), fields)
			records++
			return s.err == nil
		})
	}
	end := trailer{records, v.Digest()}
	s.record(recordTrailer, end.fields)
	if s.err == nil {
		s.err = s.out.Flush()
	}
	if s.err != nil {
		return s.written, s.err
	}
	n, err := w.Write(sum.Sum(nil))
	return s.written + int64(n), err
}

// snapshotWriter writes until the first error.
type snapshotWriter struct {
	out     *bufio.Writer
	written int64
	err     error
	scratch []byte
}

func (s *snapshotWriter) write(b []byte) {
	if s.err == nil {
		var n int
		n, s.err = s.out.Write(b)
		s.written += int64(n)
	}
}

func (s *snapshotWriter) record(k recordKind, fields func(visitor)) {
	e := emitter{layout: wire{}, bytes: append(s.scratch[:0], byte(k))}
	fields(&e)
	s.scratch = e.bytes
	var size [binary.MaxVarintLen64]byte
	s.write(binary.AppendUvarint(size[:0], uint64(len(e.bytes))))
	s.write(e.bytes)
}
