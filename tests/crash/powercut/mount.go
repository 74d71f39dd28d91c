package powercut

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// ErrNoFUSE means that this machine or this user cannot mount a FUSE file system.
var ErrNoFUSE = errors.New("no FUSE here")

// readBytes is the most that the kernel asks for at once.
const readBytes = 128 << 10

// unmountPatience is how long the users of a disk may take to let it go.
const unmountPatience = 10 * time.Second

// Mount is a disk that can be used.
type Mount struct {
	dir    string
	served chan struct{} // closed when nobody has the disk any more
}

// Mount shows the disk at the directory dir. The process that calls it serves
// the disk, and must not open files on it: it could wait for itself.
func (d *Disk) Mount(dir string) (*Mount, error) {
	device, err := syscall.Open("/dev/fuse", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: open /dev/fuse: %w", ErrNoFUSE, err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=%o,user_id=%d,group_id=%d,max_read=%d", device, syscall.S_IFDIR, os.Getuid(), os.Getgid(), readBytes)
	if err := syscall.Mount("powercut", dir, "fuse.powercut", syscall.MS_NOSUID|syscall.MS_NODEV, options); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: mount on %s: %w", ErrNoFUSE, dir, err), syscall.Close(device))
	}
	root := &node{disk: d, in: d.root}
	timeout := time.Hour // nobody but the kernel changes anything
	server, err := fuse.NewServer(fs.NewNodeFS(root, &fs.Options{
		EntryTimeout: &timeout, AttrTimeout: &timeout, RootStableAttr: &fs.StableAttr{Ino: d.root.number},
	}), fmt.Sprintf("/dev/fd/%d", device), &fuse.MountOptions{MaxWrite: readBytes, DisableXAttrs: true, Name: "powercut"})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("serve %s: %w", dir, err), syscall.Unmount(dir, syscall.MNT_DETACH), syscall.Close(device))
	}
	m := &Mount{dir: dir, served: make(chan struct{})}
	go func() {
		server.Serve()
		close(m.served)
	}()
	return m, nil
}

// Unmount takes the disk away from the directory, and waits until nobody has
// anything of it open.
func (m *Mount) Unmount() error {
	if err := syscall.Unmount(m.dir, syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", m.dir, err)
	}
	select {
	case <-m.served:
		return nil
	case <-time.After(unmountPatience):
		return fmt.Errorf("unmount %s: something of it is still open after %s", m.dir, unmountPatience)
	}
}
