package unix

import (
	"os"
	"time"

	sys "golang.org/x/sys/unix"
)

// stamp tells one state of one file from every other: the change time cannot
// be set back.
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime sys.Timespec
}

func stampOf(fd int) (stamp, error) {
	var st sys.Stat_t
	if err := sys.Fstat(fd, &st); err != nil {
		return stamp{}, os.NewSyscallError("fstat", err)
	}
	return stamp{dev: st.Dev, ino: st.Ino, size: st.Size, mtime: st.Mtim, ctime: st.Ctim}, nil
}

// grain is longer than the steps in which file systems count time.
const grain = 3 * time.Second

// settled reports whether the file's last change is so long ago that another
// one would get another change time. What was read before that is not to be
// remembered.
func (s stamp) settled() bool {
	return time.Since(time.Unix(s.ctime.Unix())) > grain
}
