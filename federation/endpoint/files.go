package endpoint

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lookEvery is how often the files are looked at, at most.
	lookEvery = time.Second
	// maxFileBytes is more than any chain or key has.
	maxFileBytes = 1 << 20
)

// FilePair is a certificate and its key in two PEM files, read again when they
// change. While they cannot be used the last good pair stays. It is safe for
// concurrent use.
type FilePair struct {
	certFile, keyFile string
	log               *slog.Logger
	pair              atomic.Pointer[tls.Certificate]

	mu      sync.Mutex // held by the one handshake that looks
	looked  time.Time
	seen    [2]os.FileInfo
	problem error
}

// Files reads the PEM files: the certificate with its chain, leaf first, and
// its private key. It fails if they cannot be used now.
func Files(certFile, keyFile string, log *slog.Logger) (*FilePair, error) {
	f := &FilePair{certFile: certFile, keyFile: keyFile, log: log}
	seen, err := f.stat()
	if err == nil {
		err = f.load()
	}
	if err != nil {
		return nil, err
	}
	f.seen, f.looked = seen, time.Now()
	return f, nil
}

// Certificate returns the pair to present. It looks at the files at most once
// a second and never fails.
func (f *FilePair) Certificate() (*tls.Certificate, error) {
	if f.mu.TryLock() {
		if now := time.Now(); now.Sub(f.looked) >= lookEvery {
			f.looked = now
			f.look()
		}
		f.mu.Unlock()
	}
	return f.pair.Load(), nil
}

// Problem says why the files could not be read when they were last looked at,
// or that the certificate has ended; nil if all is well.
func (f *FilePair) Problem() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.problem != nil {
		return f.problem
	}
	if end := f.pair.Load().Leaf.NotAfter; time.Now().After(end) {
		return fmt.Errorf("the certificate in %s ended at %s: replace the file", f.certFile, end.UTC().Format(time.RFC3339))
	}
	return nil
}

// look loads the files if they changed or could not be used before. A new
// certificate beside the old key is such a case: its other half is about to come.
func (f *FilePair) look() {
	seen, err := f.stat()
	if err == nil {
		if f.problem == nil && f.same(seen) {
			return
		}
		err = f.load()
	}
	if err != nil {
		if f.problem == nil {
			f.log.Error("bundle endpoint keeps its previous certificate", "error", err)
		}
		f.problem = err
		return
	}
	f.seen, f.problem = seen, nil
	f.log.Info("bundle endpoint has a new certificate", "file", f.certFile, "until", f.pair.Load().Leaf.NotAfter)
}

func (f *FilePair) stat() (seen [2]os.FileInfo, err error) {
	for i, name := range []string{f.certFile, f.keyFile} {
		if seen[i], err = os.Stat(name); err != nil {
			return seen, fmt.Errorf("bundle endpoint certificate: %w", err)
		}
	}
	return seen, nil
}

func (f *FilePair) same(seen [2]os.FileInfo) bool {
	for i, s := range seen {
		old := f.seen[i]
		if !os.SameFile(s, old) || !s.ModTime().Equal(old.ModTime()) || s.Size() != old.Size() {
			return false
		}
	}
	return true
}

func (f *FilePair) load() error {
	cert, err := readFile(f.certFile)
	if err != nil {
		return err
	}
	key, err := readFile(f.keyFile)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("bundle endpoint certificate %s with key %s: %w", f.certFile, f.keyFile, err)
	}
	f.pair.Store(&pair)
	return nil
}

func readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("bundle endpoint certificate: %w", err)
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("bundle endpoint certificate: %w", err)
	}
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("bundle endpoint certificate: %s is longer than %d bytes", name, maxFileBytes)
	}
	return data, nil
}
