package powercut

import (
	"maps"
	"path"
	"slices"
	"syscall"
)

// Image returns a disk with the same files, as they are now and all synced: a
// copy of the disk that somebody kept.
func (d *Disk) Image() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	copied := NewDisk()
	copied.root = copied.copy(d.root, map[*inode]*inode{})
	return copied
}

// copy makes a copy of in and of what is below it; a file with two names stays one.
func (d *Disk) copy(in *inode, done map[*inode]*inode) *inode {
	if out := done[in]; out != nil {
		return out
	}
	out := d.newInode(in.mode)
	out.links, out.modified, out.name = in.links, in.modified, in.name
	out.bytes, out.synced, out.blocks = slices.Clone(in.bytes), slices.Clone(in.bytes), maps.Clone(in.blocks)
	done[in] = out
	for name, below := range in.names {
		out.names[name] = d.copy(below, done)
	}
	out.syncedNames = maps.Clone(out.names)
	return out
}

// Flip changes one bit of a file of a disk that is not mounted, in the cache and
// on the disk: the file in the directory dir whose name matches pattern (the last
// of them), and the byte at that part of its length, 0 to 1. It returns the
// file's name, "" if there is none with bytes.
func (d *Disk) Flip(dir, pattern string, part float64, bit uint) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	parent, err := d.look(dir)
	if err != nil || parent.kind() != syscall.S_IFDIR {
		return ""
	}
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(parent.names))) {
		in := parent.names[name]
		if like, err := path.Match(pattern, name); err != nil || !like || in.kind() != syscall.S_IFREG || len(in.bytes) == 0 {
			continue
		}
		at := min(int(part*float64(len(in.bytes))), len(in.bytes)-1)
		in.bytes[at] ^= 1 << (bit % 8)
		in.sync()
		if at < len(in.synced) {
			in.synced[at] = in.bytes[at]
		}
		return name
	}
	return ""
}
