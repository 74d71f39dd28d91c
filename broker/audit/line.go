package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
)

// ErrDamaged means that the trail is not what was written.
var ErrDamaged = errors.New("the audit trail is damaged")

// format is what the first line of a segment says. It changes when an older
// reader would misread the lines after it.
const format = "concord audit 1"

// maxLineBytes is more than a record can have: a command has at most 1 MiB,
// and a record shortens long values.
const maxLineBytes = 4 << 20

// head is a chain's head, in lower-case hex.
type head [sha256.Size]byte

// MarshalText implements encoding.TextMarshaler.
func (h head) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *head) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("a chain's head has %d digits, not %d", len(text), hex.EncodedLen(len(h)))
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// line is a line of a segment: its beginning, a gap, or a record.
type line struct {
	Segment *beginning `json:"segment,omitempty"`
	Gap     *gapLine   `json:"gap,omitempty"`
	record
}

// beginning is the first line of a segment: what was before it.
type beginning struct {
	Format string `json:"format"`
	After  uint64 `json:"after"` // log index of the last record before; 0 if there was none
	Head   head   `json:"head"`
}

// gapLine stands for records that this node never had: it was given the state
// by a snapshot.
type gapLine struct {
	After uint64 `json:"after"` // log index of the last record before
	Until uint64 `json:"until"` // log index of the snapshot
	Head  head   `json:"head"`  // the chain's head in it
}

// record is state.AuditRecord as it is written.
type record struct {
	Index     uint64      `json:"index,omitempty"`
	At        time.Time   `json:"at,omitzero"`
	Actor     string      `json:"actor,omitempty"`
	Cause     string      `json:"cause,omitempty"`
	RequestID string      `json:"request_id,omitempty"`
	Kind      string      `json:"kind,omitempty"`
	Subject   string      `json:"subject,omitempty"`
	Changes   []change    `json:"changes,omitempty"`
	Code      broker.Code `json:"refused,omitempty"`
	Detail    string      `json:"detail,omitempty"`
	Head      *head       `json:"head,omitempty"`
}

type change struct {
	Record string `json:"record"`
	Name   string `json:"name"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// encode writes v as one line. Characters stay as they are: it is for reading.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	if err := out.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// written returns r as it is written.
func written(r state.AuditRecord) record {
	h := head(r.Head)
	w := record{
		Index: r.Index, At: r.At.UTC(), Actor: r.Actor, Cause: r.Cause, RequestID: r.RequestID,
		Kind: r.Kind, Subject: r.Subject, Code: r.Code, Detail: r.Detail, Head: &h,
	}
	for _, f := range r.Fields {
		w.Changes = append(w.Changes, change{f.Record, f.Name, f.Before, f.After})
	}
	return w
}

// encodeRecord writes r, and reads it back: a record that would be read
// otherwise than it was must not get into the trail.
func encodeRecord(r record) ([]byte, error) {
	text, err := encode(r)
	if err != nil {
		return nil, err
	}
	back, err := decode(text)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(back.state().Statement(), r.state().Statement()) {
		return nil, fmt.Errorf("the audit record of log entry %d cannot be written as text", r.Index)
	}
	return text, nil
}

// state returns the record that was written.
func (r record) state() state.AuditRecord {
	read := state.AuditRecord{
		Index: r.Index, At: r.At, Actor: r.Actor, Cause: r.Cause, RequestID: r.RequestID,
		Kind: r.Kind, Subject: r.Subject, Code: r.Code, Detail: r.Detail,
	}
	if r.Head != nil {
		read.Head = *r.Head
	}
	for _, c := range r.Changes {
		read.Fields = append(read.Fields, state.AuditField{Record: c.Record, Name: c.Name, Before: c.Before, After: c.After})
	}
	return read
}

// decode reads one line. It refuses what encode does not write.
func decode(text []byte) (line, error) {
	var l line
	in := json.NewDecoder(bytes.NewReader(text))
	in.DisallowUnknownFields()
	if err := in.Decode(&l); err != nil {
		return line{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if in.More() {
		return line{}, fmt.Errorf("%w: more than one value in a line", ErrDamaged)
	}
	shapes := 0
	for _, has := range []bool{l.Segment != nil, l.Gap != nil, l.Index != 0 && l.Head != nil} {
		if has {
			shapes++
		}
	}
	if shapes != 1 {
		return line{}, fmt.Errorf("%w: a line is neither a record nor a gap", ErrDamaged)
	}
	return l, nil
}
