package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/concord-id/concord/broker/admin/client"
)

// printOutcome tells what a write did, or on a dry run would do: each field
// that differs, before → after.
func printOutcome[T any](w io.Writer, verb, subject string, o client.Outcome[T]) {
	switch {
	case o.DryRun:
		fmt.Fprintf(w, "Dry run: would %s %s; nothing was changed.\n", verb, cell(subject))
	case o.Index == 0: // what is not in the log, because it is not what nodes agree on
		fmt.Fprintf(w, "Done: %s %s.\n", verb, cell(subject))
	default:
		fmt.Fprintf(w, "Done: %s %s (index %d).\n", verb, cell(subject), o.Index)
	}
	printDifference(w, fields(o.Before), fields(o.After))
	if o.Warning != "" {
		fmt.Fprintf(w, "Warning: %s\n", cell(o.Warning))
	}
}

// printDifference prints each field that is not the same before and after.
func printDifference(w io.Writer, before, after map[string]string) {
	names := slices.Collect(maps.Keys(before))
	names = slices.AppendSeq(names, maps.Keys(after))
	slices.Sort(names)
	same := true
	for _, name := range slices.Compact(names) {
		b, a := before[name], after[name]
		if b == a {
			continue
		}
		same = false
		switch {
		case b == "":
			fmt.Fprintf(w, "  + %s\t%s\n", name, cell(a))
		case a == "":
			fmt.Fprintf(w, "  - %s\t%s\n", name, cell(b))
		default:
			fmt.Fprintf(w, "  ~ %s\t%s → %s\n", name, cell(b), cell(a))
		}
	}
	if same {
		fmt.Fprintln(w, "  nothing is different")
	}
}

// maxFieldBytes is the longest value that is shown whole.
const maxFieldBytes = 160

// fields returns a document's members as text: lists by their items, and of
// what is long only its size and hash.
func fields(document any) map[string]string {
	text, err := json.Marshal(document)
	if err != nil {
		return nil
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil {
		return nil
	}
	out := map[string]string{}
	for name, value := range members {
		s := plain(value)
		if len(s) > maxFieldBytes {
			s = fmt.Sprintf("%d bytes, sha256 %.8x", len(s), sha256.Sum256([]byte(s)))
		}
		out[name] = s
	}
	return out
}

// plain writes a JSON value as people read it.
func plain(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	var list []json.RawMessage
	if json.Unmarshal(value, &list) != nil {
		return string(value)
	}
	items := make([]string, len(list))
	for i, item := range list {
		items[i] = plain(item)
		var named struct {
			ID    string `json:"id"`
			KeyID string `json:"kid"`
		}
		if json.Unmarshal(item, &named) == nil && named.ID+named.KeyID != "" {
			items[i] = named.ID + named.KeyID
		}
	}
	return strings.Join(items, ", ")
}
