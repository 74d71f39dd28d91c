package history

import "fmt"

// reader is what clients may expect of their next reads.
type reader struct {
	writes map[[2]string]*Event // by key and value
	told   map[[2]string]*Event // by client and key: the newest write that was acknowledged
	shown  map[[3]string]*Event // by client, node and key: the newest read since the node's start
	wrong  []Violation
}

// unread finds reads of what nobody wrote, and reads that show less than what the
// same client had been told or had read on the same node.
func unread(events []Event) []Violation {
	r := reader{writes: map[[2]string]*Event{}, told: map[[2]string]*Event{}, shown: map[[3]string]*Event{}}
	for e := range of(events, Write) {
		if e.Op != Delete {
			r.writes[[2]string{e.Key, e.Value}] = e
		}
	}
	for i := range events {
		switch e := &events[i]; {
		case e.Kind == Start:
			r.forget(e.Node)
		case e.Kind == Write && e.Outcome == Done:
			if before := r.told[[2]string{e.Client, e.Key}]; before == nil || before.Index < e.Index {
				r.told[[2]string{e.Client, e.Key}] = e
			}
		case e.Kind == Read && e.Outcome == Done:
			r.look(e)
			r.shown[[3]string{e.Client, e.Node, e.Key}] = e
		}
	}
	return r.wrong
}

// forget forgets what a node has shown: it lives anew.
func (r *reader) forget(node string) {
	for seen := range r.shown {
		if seen[1] == node {
			delete(r.shown, seen)
		}
	}
}

// look holds one read against what its client may expect.
func (r *reader) look(e *Event) {
	source := r.writes[[2]string{e.Key, e.Value}]
	told := r.told[[2]string{e.Client, e.Key}]
	shown := r.shown[[3]string{e.Client, e.Node, e.Key}]
	switch {
	case source == nil || source.Begin > e.End:
		r.mistake(e, "%q, which nobody had written", e.Value)
	case source.Outcome != Done && source.Outcome != Unknown:
		r.mistake(e, "%q, which was refused: %s", e.Value, source.Outcome)
	case source.Outcome == Done && !source.Later && source.Revision != e.Revision:
		r.mistake(e, "%q as revision %d, and it was written as %d", e.Value, e.Revision, source.Revision)
	case told != nil && e.Seen >= told.Index && (told.Op == Delete || !told.Later && e.Revision < told.Revision):
		r.mistake(e, "revision %d, and had said that it knows log index %d: its own %s made revision %d at %d", e.Revision, e.Seen, told.Op, told.Revision, told.Index)
	case shown != nil && e.Revision < shown.Revision:
		r.mistake(e, "revision %d, and had read %d there before", e.Revision, shown.Revision)
	}
}

func (r *reader) mistake(e *Event, format string, args ...any) {
	r.wrong = append(r.wrong, Violation{monotonic, e.Begin, fmt.Sprintf("%s read %s at %s: ", e.Client, e.Key, e.Node) + fmt.Sprintf(format, args...)})
}
