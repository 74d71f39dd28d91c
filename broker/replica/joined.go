package replica

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/hashicorp/raft"
)

// Admission is what a node was given when it joined.
type Admission struct {
	Chain   [][]byte `json:"chain"`   // DER: its admission, then those of whoever admitted it
	Members []Seed   `json:"members"` // as they were then; believed until the log says who is a member
	// Begun is written before the first log entry is: without a log it then has lost one.
	Begun bool `json:"begun,omitempty"`
}

// awaitsLog reports whether this node joined a cluster and has received nothing yet.
func (a Admission) awaitsLog() bool { return len(a.Chain) > 0 && !a.Begun }

// Seed is a member that a node was told of before it had a log.
type Seed struct {
	ID      raft.ServerID      `json:"id"`
	Address raft.ServerAddress `json:"address"`
}

// WriteAdmission keeps what the node in dir was given when it joined.
func WriteAdmission(dir string, a Admission) error {
	text, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("write the admission of this node: %w", err)
	}
	return writeWhole(filepath.Join(dir, admissionFile), text)
}

// ReadAdmission returns what the node in dir was given when it joined; false if
// it founded its cluster, or has not joined one.
func ReadAdmission(dir string) (Admission, bool, error) {
	path := filepath.Join(dir, admissionFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Admission{}, false, nil
	}
	var a Admission
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	if err == nil && len(a.Chain) == 0 {
		err = errors.New("it says of nobody that this node was admitted")
	}
	if err != nil {
		return a, false, a.damaged(dir, err)
	}
	return a, true, nil
}

// check refuses an admission that is not what was written: with it nobody would
// let this node in, or not those who have not heard of it yet.
func (a Admission) check(dir string, me identity) error {
	chain := make([]*x509.Certificate, len(me.certificate.Certificate))
	for i, der := range me.certificate.Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return a.damaged(dir, err)
		}
		chain[i] = cert
	}
	keys, err := links(chain)
	if err != nil {
		return a.damaged(dir, err)
	}
	if len(keys) < len(a.Chain) { // the last link names nobody new
		return a.damaged(dir, errors.New("its certificates do not lead from this node's key to those who admitted it"))
	}
	return nil
}

func (a Admission) damaged(dir string, why error) error {
	return fmt.Errorf("%w: read %s: %w; put it back from a copy, or remove this node and join again", ErrCorrupt, filepath.Join(dir, admissionFile), why)
}

// nextIncarnation counts the starts of the node in dir, this one included.
func nextIncarnation(dir string) (uint64, error) {
	path := filepath.Join(dir, incarnationFile)
	text, err := os.ReadFile(path)
	var last uint64
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return 0, fmt.Errorf("read how often this node was started: %w", err)
	default:
		if last, err = strconv.ParseUint(string(text), 10, 63); err != nil {
			return 0, fmt.Errorf("%w: %s does not hold a number: restore the directory from a backup", ErrCorrupt, path)
		}
	}
	next := last + 1
	return next, writeWhole(path, strconv.AppendUint(nil, next, 10))
}
