package unix

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"sync"
)

// accounts are the names in /etc/passwd or /etc/group. No other source is
// asked, and never the environment.
type accounts struct {
	path string

	mu   sync.Mutex
	read stamp // of the file that byID is from; zero: read it again
	byID map[uint32]string
}

// names returns the names by number, from the file as it is now; empty if there
// is none. The map is not to be changed.
func (a *accounts) names() (map[uint32]string, error) {
	file, err := os.Open(a.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	now, err := stampOf(int(file.Fd()))
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.read == now {
		return a.byID, nil
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", a.path, err)
	}
	byID := parseAccounts(text)
	if now.settled() {
		a.read, a.byID = now, byID
	}
	return byID, nil
}

// parseAccounts reads lines of name:password:number:…, as passwd(5) and group(5)
// have in common. The first line with a number gives its name; what is not such
// a line (comments, NIS's + and -) is passed over.
func parseAccounts(text []byte) map[uint32]string {
	byID := make(map[uint32]string)
	for line := range bytes.Lines(text) {
		fields := bytes.SplitN(bytes.TrimSpace(line), []byte(":"), 4)
		if len(fields) < 4 || len(fields[0]) == 0 || bytes.ContainsAny(fields[0][:1], "#+-") {
			continue
		}
		id, err := strconv.ParseUint(string(fields[2]), 10, 32)
		if err != nil {
			continue
		}
		if _, taken := byID[uint32(id)]; !taken {
			byID[uint32(id)] = string(fields[0])
		}
	}
	return byID
}
