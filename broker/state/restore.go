package state

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/concord-id/concord/workload"
)

// Restore replaces everything by a snapshot. On an error nothing is replaced;
// ErrCorrupt and ErrUnknownCommand say what to make of it.
func (m *Machine) Restore(r io.Reader) error {
	in := newSummed(r)
	view, err := readSnapshot(in)
	// What was read means something only if the whole is what was written.
	if broken := in.verify(); broken != nil {
		err = broken
	}
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	m.view.Store(view)
	return nil
}

func readSnapshot(in *summed) (*View, error) {
	begin := make([]byte, len(snapshotMagic)+1)
	if _, err := io.ReadFull(in, begin); err != nil || !bytes.HasPrefix(begin, []byte(snapshotMagic)) {
		return nil, errors.Join(fmt.Errorf("it does not begin as a snapshot: %w", ErrCorrupt), err)
	}
	if format := begin[len(snapshotMagic)]; format != snapshotFormat {
		return nil, fmt.Errorf("it has format %d, this version knows %d: %w", format, snapshotFormat, ErrUnknownCommand)
	}
	l := loader{in: in, tables: newTables()}
	var head header
	if err := l.expect(recordHeader, head.fields); err != nil {
		return nil, err
	}
	if err := l.records(); err != nil {
		return nil, err
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, errors.Join(fmt.Errorf("something follows its end: %w", ErrCorrupt), err)
	}
	if err := l.derive(); err != nil {
		return nil, err
	}
	view := &View{head.Index, head.Head, l.sum, l.tables}
	if l.end.Records != l.count || l.end.Digest != view.Digest() {
		return nil, fmt.Errorf("its %d records do not have the digest that it states for %d: %w", l.count, l.end.Records, ErrCorrupt)
	}
	return view, nil
}

// loader fills tables from a snapshot.
type loader struct {
	in     *summed
	tables tables
	sum    sum
	count  uint64
	end    trailer
	buffer bytes.Buffer
}

// next reads one record. Memory grows with what is there, not with what the
// length says.
func (l *loader) next() (recordKind, *reader, error) {
	size, err := l.length()
	if err != nil {
		return 0, nil, fmt.Errorf("record %d has no length: %w", l.count, errors.Join(ErrCorrupt, err))
	}
	if size == 0 || size > maxRecordBytes {
		return 0, nil, fmt.Errorf("record %d has %d bytes, the most is %d: %w", l.count, size, maxRecordBytes, ErrCorrupt)
	}
	l.buffer.Reset()
	if _, err := io.CopyN(&l.buffer, l.in, int64(size)); err != nil {
		return 0, nil, fmt.Errorf("record %d is cut off: %w", l.count, errors.Join(ErrCorrupt, err))
	}
	record := l.buffer.Bytes()
	return recordKind(record[0]), &reader{rest: record[1:], at: 1}, nil
}

// length reads the length of a record, written as short as possible.
func (l *loader) length() (uint64, error) {
	var raw []byte
	for len(raw) == 0 || raw[len(raw)-1] >= 0x80 && len(raw) < binary.MaxVarintLen64 {
		b, err := l.in.ReadByte()
		if err != nil {
			return 0, err
		}
		raw = append(raw, b)
	}
	size, n := protowire.ConsumeVarint(raw)
	if n != len(raw) || n != protowire.SizeVarint(size) {
		return 0, fmt.Errorf("%x is no number", raw)
	}
	return size, nil
}

func (l *loader) expect(want recordKind, fields func(visitor)) error {
	k, r, err := l.next()
	if err != nil {
		return err
	}
	if k != want {
		return fmt.Errorf("record %d is of kind %d, not %d: %w", l.count, k, want, ErrCorrupt)
	}
	fields(r)
	return r.end()
}

// records reads the records of all tables, and the trailer.
func (l *loader) records() error {
	left := l.tables.stored()
	for {
		k, r, err := l.next()
		if err != nil {
			return err
		}
		if k == recordTrailer {
			l.end.fields(r)
			return r.end()
		}
		for len(left) > 0 && left[0].number() < k {
			left = left[1:]
		}
		if len(left) == 0 {
			return fmt.Errorf("record %d is of kind %d, which this version does not know: %w", l.count, k, ErrUnknownCommand)
		}
		if left[0].number() != k {
			return fmt.Errorf("record %d of kind %d is not where it belongs: %w", l.count, k, ErrCorrupt)
		}
		if err := left[0].load(r, &l.sum); err != nil {
			return fmt.Errorf("record %d of kind %d: %w", l.count, k, err)
		}
		l.count++
	}
}

// derive makes what follows from the records and is not written down.
func (l *loader) derive() error {
	t := l.tables
	for f := range t.bundles.from("") {
		if err := f.encode(); err != nil {
			return fmt.Errorf("bundle of %s: %w", f.TrustDomain.Name(), errors.Join(ErrCorrupt, err))
		}
		t.held.hold(f.bundle.Bundle)
	}
	if h := t.domain.get(""); h != nil {
		if err := l.deriveOwn(h); err != nil {
			return fmt.Errorf("our own bundle: %w", errors.Join(ErrCorrupt, err))
		}
	}
	entries := slices.Collect(t.entries.from(""))
	if i := slices.IndexFunc(entries, func(e *workload.Entry) bool { return len(e.Selectors) == 0 }); i >= 0 {
		return fmt.Errorf("entry %s has no selectors: %w", entries[i].ID, ErrCorrupt)
	}
	t.lookup.fill(entries)
	for r := range t.requests.from("") {
		t.queue.tree.Set(r)
	}
	return nil
}

func (l *loader) deriveOwn(h *home) error {
	p := l.tables.publication.get("")
	if p == nil {
		return errors.New("it has no sequence")
	}
	b, err := (&draft{tables: l.tables}).ownBundle(h)
	if err != nil {
		return err
	}
	b.Sequence = p.Sequence
	l.tables.held.hold(b)
	return p.encode(b)
}

// summed reads all but the SHA-256 at the end of a stream, and verifies it.
type summed struct {
	in  *bufio.Reader
	sum hash.Hash
}

func newSummed(r io.Reader) *summed {
	return &summed{in: bufio.NewReaderSize(r, 64<<10), sum: sha256.New()}
}

func (s *summed) Read(p []byte) (int, error) {
	p = p[:min(len(p), s.in.Size()-sha256.Size)]
	ahead, err := s.in.Peek(len(p) + sha256.Size)
	n := len(ahead) - sha256.Size
	switch {
	case len(p) == 0:
		return 0, nil
	case n > 0: // the error comes again when these are used up
	case err != nil:
		return 0, err
	}
	n = copy(p, ahead[:n])
	s.sum.Write(ahead[:n])
	_, err = s.in.Discard(n)
	return n, err
}

func (s *summed) ReadByte() (byte, error) {
	var one [1]byte
	_, err := io.ReadFull(s, one[:])
	return one[0], err
}

// verify reads the rest and compares the sum.
func (s *summed) verify() error {
	if _, err := io.Copy(io.Discard, s); err != nil {
		return fmt.Errorf("read it: %w", err)
	}
	stated, _ := s.in.Peek(sha256.Size)
	if !bytes.Equal(stated, s.sum.Sum(nil)) {
		return fmt.Errorf("its SHA-256 is %x and should be %x: %w", s.sum.Sum(nil), stated, ErrCorrupt)
	}
	return nil
}
