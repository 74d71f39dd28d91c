package state

import (
	"errors"
	"io"

	"github.com/concord-id/concord/broker"
)

// The errors of reading a log or a snapshot. All of them stop the node.
var (
	// ErrUnknownCommand means that a newer version of Concord wrote it.
	ErrUnknownCommand = errors.New("written by a newer version of Concord: upgrade this node")
	// ErrCorrupt means that it is not what was written.
	ErrCorrupt = errors.New("damaged")
)

// Applied is what became of a command.
type Applied struct {
	Index    uint64 // where it was decided: of the first application if Repeated
	Change   Change // empty if refused or repeated
	Refusal  *broker.Refusal
	Record   AuditRecord // zero if Repeated: it has one already
	Repeated bool        // its request ID was decided before; Refusal is as it was then
}

// Machine applies the log, in order. Apply and Restore belong to one
// goroutine; View may be called by all.
type Machine struct{ view *View }

// NewMachine returns a machine that has read nothing.
func NewMachine() *Machine { return &Machine{view: &View{}} }

// Encode writes a command as a log entry. It refuses what Validate refuses.
func Encode(act broker.Act, c Command) ([]byte, error) { return nil, errors.ErrUnsupported }

// Decode reads a log entry.
func Decode(entry []byte) (broker.Act, Command, error) {
	return broker.Act{}, nil, errors.ErrUnsupported
}

// Apply decides the command at index and makes the next View. An error means
// that this node cannot follow the log and must stop: the entry is damaged or
// of a newer version. A command that was refused is no error.
func (m *Machine) Apply(index uint64, entry []byte) (Applied, error) {
	return Applied{}, errors.ErrUnsupported
}

// View returns the newest view.
func (m *Machine) View() *View { return m.view }

// Restore replaces everything by a snapshot. On an error nothing is replaced.
func (m *Machine) Restore(r io.Reader) error { return errors.ErrUnsupported }
