package endpoint

import (
	"strconv"
	"strings"
)

// matches reports whether the values of If-None-Match have etag: a list of
// strong or weak tags, compared weakly, or * (RFC 9110 §13.1.2). A list ends at the first
// thing in it that is no tag.
func matches(values []string, etag string) bool {
	if len(values) == 1 && values[0] == etag {
		return true
	}
	for _, value := range values {
		if strings.TrimSpace(value) == "*" {
			return true
		}
		for tag, rest := nextTag(value); tag != ""; tag, rest = nextTag(rest) {
			if tag == etag {
				return true
			}
		}
	}
	return false
}

// nextTag returns the first entity tag of list, with its quotes and without W/,
// and what follows it; "" if there is none.
func nextTag(list string) (tag, rest string) {
	list = strings.TrimPrefix(strings.TrimLeft(list, " \t,"), "W/")
	if !strings.HasPrefix(list, `"`) {
		return "", ""
	}
	end := strings.IndexByte(list[1:], '"')
	if end < 0 {
		return "", ""
	}
	return list[:end+2], list[end+2:]
}

// newestKnown returns the largest sequence of the tags in values that this
// program could have made: "<sequence>-<hash>", the hash as long as etag's. It
// returns 0 if there is none.
func newestKnown(values []string, etag string) uint64 {
	if len(values) == 1 && values[0] == etag {
		return 0
	}
	_, hash, _ := strings.Cut(etag, "-")
	var newest uint64
	for _, value := range values {
		for tag, rest := nextTag(value); tag != ""; tag, rest = nextTag(rest) {
			digits, other, ok := strings.Cut(tag[1:], "-")
			if !ok || len(other) != len(hash) {
				continue
			}
			if sequence, err := strconv.ParseUint(digits, 10, 64); err == nil {
				newest = max(newest, sequence)
			}
		}
	}
	return newest
}
