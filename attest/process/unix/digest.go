package unix

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/concord-id/concord/attest"
)

// maxDigests bounds the cache; a host runs far fewer programs at a time.
const maxDigests = 1024

// digests are the SHA-256 of programs, remembered by what the file system says
// of a file.
type digests struct {
	limit int64 // bytes; negative: nothing is hashed

	mu    sync.Mutex
	known map[stamp]string
}

func newDigests(limit int64) *digests {
	return &digests{limit: limit, known: make(map[stamp]string)}
}

// of returns the digest of p in hex, "" if p is too large or may not be read.
func (d *digests) of(ctx context.Context, p *program) (string, error) {
	if p.fd < 0 || p.file.size > d.limit {
		return "", nil
	}
	d.mu.Lock()
	digest, ok := d.known[p.file]
	d.mu.Unlock()
	if ok {
		return digest, nil
	}
	digest, err := hash(ctx, p)
	if errors.Is(err, fs.ErrPermission) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("hash its program: %w", err)
	}
	if p.file.settled() {
		d.remember(p.file, digest)
	}
	return digest, nil
}

func (d *digests) remember(file stamp, digest string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for other := range d.known {
		if len(d.known) < maxDigests {
			break
		}
		delete(d.known, other)
	}
	d.known[file] = digest
}

// hash reads the very file that p holds, and fails if it changed meanwhile.
func hash(ctx context.Context, p *program) (string, error) {
	file, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", p.fd))
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	read, err := io.Copy(sum, &boundedReader{ctx: ctx, from: file, left: p.file.size + 1})
	if err != nil {
		return "", err
	}
	now, err := stampOf(p.fd)
	if err != nil {
		return "", err
	}
	if now != p.file || read != p.file.size {
		return "", fmt.Errorf("it changed while it was read: %w", attest.ErrProcessLost)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// boundedReader ends after left bytes, or with ctx.
type boundedReader struct {
	ctx  context.Context
	from io.Reader
	left int64
}

func (r *boundedReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if r.left <= 0 {
		return 0, io.EOF
	}
	n, err := r.from.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	return n, err
}
