package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
)

// A bbolt file begins with two heads, which are written in turn: the newest
// write is in the one with the higher number. If one is damaged, bbolt goes on
// with the other, and the newest write, acknowledged long ago, was never made.

// Where things stand in a head, behind the page's own 16 bytes. Numbers are in
// the order of this machine's bytes.
const (
	headAt       = 16
	headPageSize = headAt + 8
	headSum      = headAt + 56 // FNV-1a of what is before it
	headEnd      = headAt + 64
)

// checkHeads refuses a log of which one head is damaged. What else may be wrong
// with the file bbolt says itself.
func checkHeads(path string) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: open %s: %w", ErrStore, path, err)
	}
	defer file.Close()
	first, err := readHead(file, 0)
	if err != nil {
		return fmt.Errorf("%w: read %s: %w", ErrStore, path, err)
	}
	size := int64(os.Getpagesize())
	if first.whole {
		size = first.pageSize
	}
	second, err := readHead(file, size)
	if err != nil {
		return fmt.Errorf("%w: read %s: %w", ErrStore, path, err)
	}
	if first.whole == second.whole {
		return nil
	}
	return fmt.Errorf("%w: one of the two heads of %s is not what was written, and the newest write may be in it; restore the directory from a backup", ErrCorrupt, path)
}

type head struct {
	whole    bool
	pageSize int64 // 0 unless whole
}

// readHead reads the head of the page that begins at at. One that is not all
// there is not whole.
func readHead(file io.ReaderAt, at int64) (head, error) {
	var page [headEnd]byte
	if _, err := file.ReadAt(page[:], at); err != nil && !errors.Is(err, io.EOF) {
		return head{}, err
	}
	sum := fnv.New64a()
	sum.Write(page[headAt:headSum])
	if binary.NativeEndian.Uint64(page[headSum:]) != sum.Sum64() {
		return head{}, nil
	}
	return head{true, int64(binary.NativeEndian.Uint32(page[headPageSize:]))}, nil
}
