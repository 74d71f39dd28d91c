package registrar

import (
	"encoding/base64"
	"iter"
	"strings"

	"github.com/concord-id/concord/broker"
)

// The sizes of a page. A caller who asks for no size gets DefaultPageSize; one
// who asks for more than MaxPageSize gets that many.
const (
	DefaultPageSize = 500
	MaxPageSize     = 1000
)

// Page is the part of a listing that a caller asks for.
type Page struct {
	Size  int    // at most so many items; 0: DefaultPageSize; negative is refused
	Token string // Next of the page before; "": from the start
}

// Listing is one page. Paging is stable under changes: an item that exists
// throughout is shown on exactly one page, whatever comes and goes around it.
type Listing[T any] struct {
	Items []T
	Next  string // token of the next page, "" on the last
	Index uint64 // the log index that the page was read at

	kind byte
	keys []string // of Items
}

// Cut returns the first n items as a page of their own, for an edge whose
// message cannot carry them all. n is at least 1.
func (l Listing[T]) Cut(n int) Listing[T] {
	if n >= len(l.Items) {
		return l
	}
	l.Items, l.keys = l.Items[:n], l.keys[:n]
	l.Next = token(l.kind, l.keys[n-1])
	return l
}

// The kinds of listings, so that a token of one is not taken for another's.
const (
	kindEntries       = 'e'
	kindBundles       = 'b'
	kindRelationships = 'r'
	kindAgents        = 'a'
)

// token names the last item shown. Callers send it back as it is.
func token(kind byte, key string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(string(kind) + key))
}

// after returns the key that a token names, "" for the empty token.
func after(kind byte, token string) (string, error) {
	if token == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < 2 || raw[0] != kind {
		return "", broker.Refuse(broker.InvalidArgument,
			"page token %.40q is not one that this listing gave out: send back the next page token as it was, or none to begin again", token)
	}
	return strings.Clone(string(raw[1:])), nil
}

// list reads one page of items, which from yields in the order of their keys,
// beginning with the first whose key is not below its argument.
func list[T any](kind byte, page Page, index uint64, from func(key string) iter.Seq[T], key func(T) string, keep func(T) bool) (Listing[T], error) {
	size, err := page.size()
	if err != nil {
		return Listing[T]{}, err
	}
	last, err := after(kind, page.Token)
	if err != nil {
		return Listing[T]{}, err
	}
	out := Listing[T]{Index: index, kind: kind}
	for item := range from(last) {
		k := key(item)
		if page.Token != "" && k <= last || !keep(item) {
			continue
		}
		if len(out.Items) == size {
			out.Next = token(kind, out.keys[size-1])
			break
		}
		out.Items, out.keys = append(out.Items, item), append(out.keys, k)
	}
	return out, nil
}

func (p Page) size() (int, error) {
	switch {
	case p.Size < 0:
		return 0, broker.Refuse(broker.InvalidArgument, "page size %d is negative: give the most items that a page may have, or 0 for %d", p.Size, DefaultPageSize)
	case p.Size == 0:
		return DefaultPageSize, nil
	}
	return min(p.Size, MaxPageSize), nil
}

func everything[T any](T) bool { return true }
