package powercut

import (
	"context"
	"os"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// node shows an inode to the kernel.
type node struct {
	fs.Inode
	disk *Disk
	in   *inode
}

// What the kernel asks of a node.
var (
	_ fs.NodeLookuper  = (*node)(nil)
	_ fs.NodeReaddirer = (*node)(nil)
	_ fs.NodeGetattrer = (*node)(nil)
	_ fs.NodeSetattrer = (*node)(nil)
	_ fs.NodeCreater   = (*node)(nil)
	_ fs.NodeMknoder   = (*node)(nil)
	_ fs.NodeMkdirer   = (*node)(nil)
	_ fs.NodeLinker    = (*node)(nil)
	_ fs.NodeUnlinker  = (*node)(nil)
	_ fs.NodeRmdirer   = (*node)(nil)
	_ fs.NodeRenamer   = (*node)(nil)
	_ fs.NodeOpener    = (*node)(nil)
	_ fs.NodeReader    = (*node)(nil)
	_ fs.NodeWriter    = (*node)(nil)
	_ fs.NodeFsyncer   = (*node)(nil)
)

// show tells the kernel of an inode below n.
func (n *node) show(ctx context.Context, in *inode, out *fuse.EntryOut) *fs.Inode {
	in.attributes(&out.Attr)
	return n.NewInode(ctx, &node{disk: n.disk, in: in}, fs.StableAttr{Mode: in.kind(), Ino: in.number})
}

func (in *inode) attributes(out *fuse.Attr) {
	out.Ino, out.Mode, out.Nlink = in.number, in.mode, in.links
	out.Size, out.Blocks = uint64(len(in.bytes)), uint64(len(in.blocks)*blockBytes/sectorBytes)
	out.Blksize = blockBytes
	out.Uid, out.Gid = uint32(os.Getuid()), uint32(os.Getgid())
	out.SetTimes(&in.modified, &in.modified, &in.modified)
}

// Lookup implements fs.NodeLookuper.
func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	in, ok := n.in.names[name]
	if !ok {
		return nil, syscall.ENOENT
	}
	return n.show(ctx, in, out), 0
}

// Readdir implements fs.NodeReaddirer.
func (n *node) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	var list []fuse.DirEntry
	for name, in := range n.in.names {
		list = append(list, fuse.DirEntry{Name: name, Mode: in.kind(), Ino: in.number})
	}
	return fs.NewListDirStream(list), 0
}

// Getattr implements fs.NodeGetattrer.
func (n *node) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	n.in.attributes(&out.Attr)
	return 0
}

// Setattr implements fs.NodeSetattrer. A mode is on the disk at once.
func (n *node) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if errno := n.disk.change(); errno != 0 {
		return errno
	}
	if mode, ok := in.GetMode(); ok {
		n.in.mode = n.in.kind() | mode&^syscall.S_IFMT
	}
	if size, ok := in.GetSize(); ok {
		n.in.resize(int64(size))
	}
	n.in.attributes(&out.Attr)
	return 0
}

// create makes an inode and gives it a name in n.
func (n *node) create(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if errno := n.disk.add(); errno != 0 {
		return nil, errno
	}
	if n.in.names[name] != nil {
		return nil, syscall.EEXIST
	}
	in := n.disk.newInode(mode)
	n.give(in, name)
	return n.show(ctx, in, out), 0
}

// give gives in a name in the directory n.
func (n *node) give(in *inode, name string) {
	in.name = name
	n.in.rename(func(names map[string]*inode) { names[name] = in })
}

// Create implements fs.NodeCreater.
func (n *node) Create(ctx context.Context, name string, _ uint32, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	made, errno := n.create(ctx, name, syscall.S_IFREG|mode&^syscall.S_IFMT, out)
	return made, nil, fuse.FOPEN_KEEP_CACHE, errno
}

// Mknod implements fs.NodeMknoder: sockets are made by it.
func (n *node) Mknod(ctx context.Context, name string, mode, _ uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.create(ctx, name, mode, out)
}

// Mkdir implements fs.NodeMkdirer.
func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.create(ctx, name, syscall.S_IFDIR|mode&^syscall.S_IFMT, out)
}

// Link implements fs.NodeLinker.
func (n *node) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if errno := n.disk.add(); errno != 0 {
		return nil, errno
	}
	if n.in.names[name] != nil {
		return nil, syscall.EEXIST
	}
	in := target.(*node).in
	in.links++
	n.give(in, name)
	return n.show(ctx, in, out), 0
}

// Unlink implements fs.NodeUnlinker.
func (n *node) Unlink(_ context.Context, name string) syscall.Errno { return n.remove(name) }

// Rmdir implements fs.NodeRmdirer.
func (n *node) Rmdir(_ context.Context, name string) syscall.Errno { return n.remove(name) }

func (n *node) remove(name string) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if errno := n.disk.change(); errno != 0 {
		return errno
	}
	in, ok := n.in.names[name]
	switch {
	case !ok:
		return syscall.ENOENT
	case len(in.names) > 0:
		return syscall.ENOTEMPTY
	}
	in.links--
	n.in.rename(func(names map[string]*inode) { delete(names, name) })
	return 0
}

// Rename implements fs.NodeRenamer, within one directory.
func (n *node) Rename(_ context.Context, name string, parent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if errno := n.disk.change(); errno != 0 {
		return errno
	}
	in, ok := n.in.names[name]
	switch {
	case !ok:
		return syscall.ENOENT
	case flags != 0:
		return syscall.EINVAL
	case parent.EmbeddedInode().StableAttr().Ino != n.StableAttr().Ino:
		return syscall.EXDEV // nothing here needs it
	}
	if replaced := n.in.names[newName]; replaced != nil && replaced != in {
		replaced.links--
	}
	in.name = newName
	n.in.rename(func(names map[string]*inode) {
		delete(names, name)
		names[newName] = in
	})
	return 0
}

// Open implements fs.NodeOpener.
func (n *node) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if flags&syscall.O_TRUNC != 0 {
		if errno := n.disk.change(); errno != 0 {
			return nil, 0, errno
		}
		n.in.resize(0)
	}
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

// Read implements fs.NodeReader.
func (n *node) Read(_ context.Context, _ fs.FileHandle, into []byte, at int64) (fuse.ReadResult, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if at > int64(len(n.in.bytes)) {
		at = int64(len(n.in.bytes))
	}
	return fuse.ReadResultData(into[:copy(into, n.in.bytes[at:])]), 0
}

// Write implements fs.NodeWriter.
func (n *node) Write(_ context.Context, _ fs.FileHandle, p []byte, at int64) (uint32, syscall.Errno) {
	n.disk.tarry(Write, n.in)
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if errno := n.disk.change(); errno != 0 {
		return 0, errno
	}
	errno, kept := n.disk.fails(Write, n.in)
	if errno == 0 && n.disk.full && !n.in.room(at, at+int64(len(p))) {
		return 0, syscall.ENOSPC
	}
	if kept {
		n.in.write(p, at)
	}
	if errno != 0 {
		return 0, errno
	}
	return uint32(len(p)), 0
}

// Fsync implements fs.NodeFsyncer, for files and directories, with and without
// what fdatasync leaves away.
func (n *node) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	n.disk.tarry(Sync, n.in)
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if errno := n.disk.change(); errno != 0 {
		return errno
	}
	errno, kept := n.disk.fails(Sync, n.in)
	if kept {
		n.in.sync()
	} else {
		n.in.forget()
	}
	return errno
}
