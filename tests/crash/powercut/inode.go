package powercut

import (
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"
)

// A disk writes whole sectors, in the order that it likes, and gives space to
// files in blocks.
const (
	sectorBytes = 512
	blockBytes  = 4096
)

// inode is a file, a directory or a socket: what it is now, and what of it
// would be there after a cut.
type inode struct {
	number   uint64
	mode     uint32
	links    uint32
	modified time.Time
	name     string // the last one it was given

	// of a file
	bytes, synced []byte
	unsynced      map[int64]bool // sectors
	blocks        map[int64]bool // that have space on the disk

	// of a directory
	names, syncedNames map[string]*inode
	renamed            []func(map[string]*inode) // since the last sync, in order
}

func (d *Disk) newInode(mode uint32) *inode {
	d.inodes++
	in := &inode{number: d.inodes, mode: mode, links: 1, modified: time.Now()}
	switch in.kind() {
	case syscall.S_IFDIR:
		in.links = 2
		in.names, in.syncedNames = map[string]*inode{}, map[string]*inode{}
	case syscall.S_IFREG:
		in.unsynced, in.blocks = map[int64]bool{}, map[int64]bool{}
	}
	return in
}

func (in *inode) kind() uint32 { return in.mode & syscall.S_IFMT }

// rename changes the names in a directory.
func (in *inode) rename(change func(map[string]*inode)) {
	change(in.names)
	in.renamed = append(in.renamed, change)
	in.modified = time.Now()
}

// units are the numbers of the pieces of a size that the bytes from..to touch.
func units(from, to, size int64, each func(int64)) {
	for unit := from / size; unit*size < to; unit++ {
		each(unit)
	}
}

// room reports whether all blocks of from..to have space already.
func (in *inode) room(from, to int64) bool {
	room := true
	units(from, to, blockBytes, func(block int64) { room = room && in.blocks[block] })
	return room
}

// write puts p at an offset.
func (in *inode) write(p []byte, at int64) {
	end := at + int64(len(p))
	if end > int64(len(in.bytes)) {
		in.resize(end)
	}
	copy(in.bytes[at:], p)
	units(at, end, sectorBytes, func(sector int64) { in.unsynced[sector] = true })
	units(at, end, blockBytes, func(block int64) { in.blocks[block] = true })
	in.modified = time.Now()
}

// resize cuts the file off, or continues it with zeros that need no space.
func (in *inode) resize(size int64) {
	was := int64(len(in.bytes))
	in.bytes = resized(in.bytes, size)
	units(min(was, size), max(was, size), sectorBytes, func(sector int64) { in.unsynced[sector] = true })
	in.modified = time.Now()
}

func resized(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		return b[:size:size] // what is cut off must not come back
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}

// sync brings everything about in to the disk.
func (in *inode) sync() {
	if in.kind() == syscall.S_IFDIR {
		in.syncedNames, in.renamed = maps.Clone(in.names), nil
		return
	}
	in.synced = resized(in.synced, int64(len(in.bytes)))
	for sector := range in.unsynced {
		in.settle(sector)
	}
	clear(in.unsynced)
}

// settle copies one sector from the cache to the disk.
func (in *inode) settle(sector int64) {
	from := sector * sectorBytes
	to := min(from+sectorBytes, int64(len(in.bytes)), int64(len(in.synced)))
	if from < to {
		copy(in.synced[from:to], in.bytes[from:to])
	}
}

// forget lets the cache believe that everything is on the disk: so it is after
// a sync that failed.
func (in *inode) forget() { clear(in.unsynced) }

// fall makes in, and what is below it, what it is after a cut.
func (in *inode) fall(random *rand.Rand, fallen map[*inode]bool) {
	if fallen[in] {
		return
	}
	fallen[in] = true
	if in.kind() != syscall.S_IFDIR {
		in.fallFile(random)
		return
	}
	if random != nil {
		for _, change := range in.renamed[:random.IntN(len(in.renamed)+1)] {
			change(in.syncedNames)
		}
	}
	in.names, in.renamed = maps.Clone(in.syncedNames), nil
	for _, name := range slices.Sorted(maps.Keys(in.names)) { // in an order, so that a seed says what is kept
		in.names[name].fall(random, fallen)
	}
}

// fallFile lets the disk have had time for some sectors, and perhaps for the
// new size.
func (in *inode) fallFile(random *rand.Rand) {
	if random != nil && len(in.unsynced) > 0 {
		if random.IntN(2) == 0 {
			in.synced = resized(in.synced, int64(len(in.bytes)))
		}
		share := random.Float64()
		for _, sector := range slices.Sorted(maps.Keys(in.unsynced)) {
			if random.Float64() < share {
				in.settle(sector)
			}
		}
	}
	in.bytes = append([]byte(nil), in.synced...)
	clear(in.unsynced)
}
