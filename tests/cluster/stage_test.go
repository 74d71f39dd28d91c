package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/node"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/tests/memnet"
	"github.com/concord-id/concord/tests/world"
)

// stage is where a story takes place.
type stage struct {
	t        *testing.T
	network  *memnet.Network
	actors   []*actor
	peers    []*world.Peer
	visitors visitors
	config   []func(*node.Config)
	around   node.Surroundings // of the nodes that come
	version  string            // of the nodes that come
	line     string            // what is being done

	called  map[string]string // names that the story gives, by the actors' own
	numbers map[string]string // of authorities, by ID
	polls   map[string]string // who followed each peer when it was looked at last
}

func newStage(t *testing.T) *stage {
	return &stage{t: t, network: memnet.New(), called: map[string]string{}, numbers: map[string]string{}, polls: map[string]string{}}
}

// operator is who acts on the nodes.
var operator = broker.Caller{Name: "operator", Roles: []broker.Role{broker.RoleAdmin}, Cause: "a story"}

// soon is how long what must happen may take, in the bubble's time.
const soon = 2 * time.Minute

// fail ends the story.
func (s *stage) fail(format string, args ...any) {
	s.t.Helper()
	for _, a := range s.actors {
		text := a.log.String()
		s.t.Logf("the log of %s:\n%s", a.name, text[max(0, len(text)-3000):])
	}
	s.t.Fatalf("%s: %s", s.line, fmt.Sprintf(format, args...))
}

// eventually waits until ok.
func (s *stage) eventually(what string, ok func() bool) {
	s.t.Helper()
	for begun := time.Now(); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begun) > soon {
			s.fail("it never came: %s", what)
		}
	}
}

// actor is the node that the story calls so.
func (s *stage) actor(name string) *actor {
	s.t.Helper()
	for _, a := range s.actors {
		if a.name == name || s.called[a.name] == name {
			return a
		}
	}
	s.fail("there is no %s", name)
	return nil
}

func (s *stage) some(names []string) (all []*actor) {
	s.t.Helper()
	for _, name := range names {
		all = append(all, s.actor(name))
	}
	return all
}

// calls is what the story calls a node.
func (s *stage) calls(name string) string {
	if called := s.called[name]; called != "" {
		return called
	}
	return name
}

// running are the nodes that are up.
func (s *stage) running() (all []*actor) {
	for _, a := range s.actors {
		if a.up() != nil {
			all = append(all, a)
		}
	}
	return all
}

// at is the registrar of a node that is up.
func (s *stage) at(name string) *registrar.Registrar {
	s.t.Helper()
	up := s.actor(name).up()
	if up == nil {
		s.fail("%s is not up: %v", name, s.actor(name).why())
	}
	return up.Registrar()
}

// status is what a node that is up says of itself.
func (s *stage) status(a *actor) registrar.Status {
	s.t.Helper()
	status, err := s.at(a.name).Status(s.t.Context(), operator)
	if err != nil {
		s.fail("%s: %v", a.name, err)
	}
	return status
}

// refused is how an error is shown.
func refused(err error) string {
	code := broker.CodeOf(err)
	switch {
	case err == nil:
		return "done"
	case code == "":
		return "failed: " + err.Error()
	case code == broker.Unavailable && strings.Contains(err.Error(), "is not known"):
		return "unavailable: whether it was done is not known"
	case code == broker.Unavailable && strings.Contains(err.Error(), "nothing was changed"):
		return "unavailable: nothing was changed"
	case code == broker.FailedPrecondition:
		return string(code) + ": " + err.Error()
	}
	return string(code)
}

// duration reads what a story says.
func (s *stage) duration(text string) time.Duration {
	s.t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		s.fail("%v", err)
	}
	return d
}
