package admin

import (
	"fmt"
	"slices"
	"strings"
)

// suggest says which of names was meant by one that is unknown: the nearest if
// one is near, else all of them.
func suggest(name string, names []string) string {
	if len(names) == 0 {
		return ": there is none at all"
	}
	if len(name) <= 2*longest(names) { // what is longer resembles nothing, and is not worth the work
		best := slices.MinFunc(names, func(a, b string) int { return edits(name, a) - edits(name, b) })
		if edits(name, best) <= max(2, len(name)/2) {
			return fmt.Sprintf("; the nearest is %q", best)
		}
	}
	return ": there are " + strings.Join(names, ", ")
}

func longest(names []string) int {
	return len(slices.MaxFunc(names, func(a, b string) int { return len(a) - len(b) }))
}

// edits is how many letters must be put in, taken out or changed to make b of
// a (Levenshtein's distance).
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0]++
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
