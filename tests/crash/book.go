package main

import (
	"fmt"
	"maps"
	"slices"
)

// step is what one command of the log changes: records, by their names in the
// audit trail, and what each is then; "" stands for nothing.
type step map[string]string

// chain are steps that are taken one after another. A crash may come between
// two of them, but not within one.
type chain []step

// book is what one clerk was told: what there is, and the request under way,
// whose outcome nobody knows yet. The chains of a request are independent.
type book struct {
	kept map[string]string
	open map[int]chain
}

// begin notes what a request asks for, before it is sent.
func (b *book) begin(chains []chain) {
	b.open = map[int]chain{}
	for i, c := range chains {
		b.open[i] = c
	}
}

// done notes that one of the chains was acknowledged.
func (b *book) done(i int) {
	for _, s := range b.open[i] {
		take(b.kept, s)
	}
	delete(b.open, i)
}

// refused notes that one of the chains was refused: nothing of it may be there.
func (b *book) refused(i int) { delete(b.open, i) }

// underWay is how many chains have no known outcome.
func (b *book) underWay() int { return len(b.open) }

// compare holds what a node shows against the book, and then writes that into
// it. It returns what is not as it must be, and how many of the chains without
// an answer were begun.
func (b *book) compare(found map[string]string) (wrong []string, begun int) {
	want := maps.Clone(b.kept)
	for _, i := range slices.Sorted(maps.Keys(b.open)) {
		taken, ok := b.open[i].reached(b.kept, found)
		if !ok {
			wrong = append(wrong, fmt.Sprintf("a request that was never answered is there in part: it would change %v", b.open[i]))
			continue
		}
		for _, s := range b.open[i][:taken] {
			take(want, s)
		}
		if taken > 0 {
			begun++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(union(want, found))) {
		switch before, now := want[name], found[name]; {
		case before == now:
		case now == "":
			wrong = append(wrong, fmt.Sprintf("%s was acknowledged and is gone: %s", name, before))
		case before == "":
			wrong = append(wrong, fmt.Sprintf("%s is there, and was deleted, refused or never asked for: %s", name, now))
		default:
			wrong = append(wrong, fmt.Sprintf("%s was acknowledged as %s and is %s", name, before, now))
		}
	}
	b.kept, b.open = maps.Clone(found), nil
	return wrong, begun
}

// reached is after how many steps from kept the records of c are as found.
func (c chain) reached(kept, found map[string]string) (steps int, ok bool) {
	now := map[string]string{}
	for _, s := range c {
		for name := range s {
			now[name] = kept[name]
		}
	}
	for steps = 0; ; steps++ {
		same := true
		for name, value := range now {
			same = same && found[name] == value
		}
		if same {
			return steps, true
		}
		if steps == len(c) {
			return 0, false
		}
		maps.Copy(now, c[steps])
	}
}

// take applies s to records.
func take(records map[string]string, s step) {
	for name, value := range s {
		if value == "" {
			delete(records, name)
		} else {
			records[name] = value
		}
	}
}

func union(a, b map[string]string) map[string]string {
	both := maps.Clone(a)
	if both == nil {
		both = map[string]string{}
	}
	maps.Copy(both, b)
	return both
}
