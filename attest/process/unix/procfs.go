package unix

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/concord-id/concord/attest"
)

// ids are what the kernel judges a process by, as numbers of our user namespace.
type ids struct {
	uid, gid uint32 // effective
	groups   string // supplementary, in decimal, separated by spaces
}

// startField is the place of a process's start time in /proc/PID/stat (field
// 22), counted from the state, which is field 3.
const startField = 22 - 3

// parseStat returns the start time of a process, in clock ticks since boot. A
// zombie is lost. The process chooses its own name, which stands in
// parentheses and may hold anything: what counts comes after the last one.
func parseStat(stat []byte) (uint64, error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, errors.New("it has no name in parentheses")
	}
	fields := strings.Fields(string(stat[end+1:]))
	if len(fields) <= startField {
		return 0, fmt.Errorf("it has %d fields after the name, too few for a start time", len(fields))
	}
	switch fields[0] {
	case "Z", "X", "x":
		return 0, fmt.Errorf("it has exited, its state is %s: %w", fields[0], attest.ErrProcessLost)
	}
	started, err := strconv.ParseUint(fields[startField], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("its start time: %w", err)
	}
	return started, nil
}

// parseStatus returns the numbers in /proc/PID/status, where the kernel
// escapes line ends in the process's name.
func parseStatus(status []byte) (ids, error) {
	var c ids
	seen := make(map[string]bool, 3)
	for line := range bytes.Lines(status) {
		key, value, ok := strings.Cut(strings.TrimSuffix(string(line), "\n"), ":")
		if !ok {
			continue
		}
		var err error
		switch key {
		case "Uid":
			c.uid, err = effective(value)
		case "Gid":
			c.gid, err = effective(value)
		case "Groups":
			c.groups = strings.Join(strings.Fields(value), " ")
		default:
			continue
		}
		if err != nil {
			return ids{}, fmt.Errorf("its line %s: %w", key, err)
		}
		if seen[key] {
			return ids{}, fmt.Errorf("it has two lines %s", key)
		}
		seen[key] = true
	}
	if len(seen) != 3 {
		return ids{}, errors.New("it lacks one of the lines Uid, Gid, Groups")
	}
	return c, nil
}

// effective takes the second of four: real, effective, saved, file system.
func effective(value string) (uint32, error) {
	fields := strings.Fields(value)
	if len(fields) != 4 {
		return 0, fmt.Errorf("it has %d numbers instead of 4", len(fields))
	}
	id, err := strconv.ParseUint(fields[1], 10, 32)
	return uint32(id), err
}
