package unix

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/concord-id/concord/attest"
)

// Type is the type of all selectors of this attestor.
const Type = "unix"

// DefaultMaxHashBytes bounds the programs that are hashed: 64 MiB.
const DefaultMaxHashBytes = 64 << 20

// Options of an Attestor. The zero value is the default.
type Options struct {
	// MaxHashBytes is the size of the largest program that gets a sha256
	// selector. 0: DefaultMaxHashBytes; negative: none does.
	MaxHashBytes int64
}

// Attestor observes local processes through /proc. Its selectors are
//
//	unix:uid, unix:gid                             effective, in numbers
//	unix:user, unix:group                          their names in /etc/passwd and /etc/group
//	unix:supplementary_gid, :supplementary_group   one for each group
//	unix:path                                      of the program, if it leads to it from here
//	unix:sha256                                    of the program, in hex, up to Options.MaxHashBytes
//
// A name that does not exist, a path that leads elsewhere and a program that may
// not be read have no selector; nothing else is left out.
type Attestor struct {
	digests *digests
	users   *accounts
	groups  *accounts
	gate    *gate
}

// NewAttestor returns an Attestor. It may be used by several goroutines.
func NewAttestor(o Options) *Attestor {
	limit := o.MaxHashBytes
	if limit == 0 {
		limit = DefaultMaxHashBytes
	}
	return &Attestor{
		digests: newDigests(limit),
		users:   &accounts{path: "/etc/passwd"},
		groups:  &accounts{path: "/etc/group"},
		gate:    newGate(),
	}
}

// Attest returns the sorted selectors of p. It fails with attest.ErrProcessLost
// if p has ended or is a zombie, if it runs as another user or group than when
// it connected, or if it changed while it was observed; with ctx's error when
// ctx ends first. At most a few processes of one user are observed at a time,
// so that a program on a file system that hangs delays only its own user.
func (a *Attestor) Attest(ctx context.Context, p attest.Process) ([]attest.Selector, error) {
	if err := p.Alive(); err != nil {
		return nil, err
	}
	leave, err := a.gate.enter(ctx, p.UID)
	if err != nil {
		return nil, fmt.Errorf("observe process %d: %w", p.PID, err)
	}
	defer leave()
	selectors, err := a.selectors(ctx, p)
	// The last word, and the best reason: what was read of a process that is
	// gone may be another's.
	if lost := p.Alive(); lost != nil {
		return nil, lost
	}
	if err != nil {
		return nil, fmt.Errorf("observe process %d: %w", p.PID, err)
	}
	return attest.Sort(selectors), nil
}

// selectors looks twice, and believes what did not change in between.
func (a *Attestor) selectors(ctx context.Context, p attest.Process) ([]attest.Selector, error) {
	before, err := observe(p.PID)
	if err != nil {
		return nil, err
	}
	defer before.program.Close()
	if before.uid != p.UID || before.gid != p.GID {
		return nil, fmt.Errorf("it runs as user %d and group %d and connected as %d and %d: %w",
			before.uid, before.gid, p.UID, p.GID, attest.ErrProcessLost)
	}
	found, err := a.identity(before.ids)
	if err != nil {
		return nil, err
	}
	// A large program is not read for a caller that has left.
	if err := p.Alive(); err != nil {
		return nil, err
	}
	of, err := a.program(ctx, before.program)
	if err != nil {
		return nil, err
	}
	after, err := observe(p.PID)
	if err != nil {
		return nil, err
	}
	defer after.program.Close()
	if err := before.same(after); err != nil {
		return nil, err
	}
	return append(found, of...), nil
}

// identity returns the selectors of users and groups.
func (a *Attestor) identity(c ids) ([]attest.Selector, error) {
	users, err := a.users.names()
	if err != nil {
		return nil, err
	}
	groups, err := a.groups.names()
	if err != nil {
		return nil, err
	}
	var found []attest.Selector
	add := func(kind, nameKind string, id uint32, names map[uint32]string) {
		found = append(found, selector(kind, strconv.FormatUint(uint64(id), 10)))
		if name, ok := names[id]; ok {
			found = append(found, selector(nameKind, name))
		}
	}
	add("uid", "user", c.uid, users)
	add("gid", "group", c.gid, groups)
	for field := range strings.FieldsSeq(c.groups) {
		id, err := strconv.ParseUint(field, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("its supplementary groups: %w", err)
		}
		add("supplementary_gid", "supplementary_group", uint32(id), groups)
	}
	return found, nil
}

// program returns the selectors of the program.
func (a *Attestor) program(ctx context.Context, p *program) ([]attest.Selector, error) {
	var found []attest.Selector
	if path := selector("path", p.path); p.leadsHere() && path.Validate() == nil {
		found = append(found, path)
	}
	digest, err := a.digests.of(ctx, p)
	if err != nil {
		return nil, err
	}
	if digest != "" {
		found = append(found, selector("sha256", digest))
	}
	return found, nil
}

func selector(kind, value string) attest.Selector {
	return attest.Selector{Type: Type, Value: kind + ":" + value}
}
