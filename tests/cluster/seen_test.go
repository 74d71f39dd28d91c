package cluster

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/workload"
)

// write name path [as request]: an operator at a node makes an entry.
func (s *stage) write(args []string) []string {
	who := operator
	if len(args) == 4 {
		who.RequestID = args[3]
	}
	return []string{refused(s.register(who, args[0], args[1]))}
}

// writes name path count: so many entries.
func (s *stage) writes(args []string) []string {
	count, err := strconv.Atoi(args[2])
	if err != nil {
		s.fail("%v", err)
	}
	for i := range count {
		if err := s.register(operator, args[0], args[1]+"/"+strconv.Itoa(i)); err != nil {
			return []string{fmt.Sprintf("%d are done, then: %s", i, refused(err))}
		}
	}
	return []string{fmt.Sprintf("%d are done", count)}
}

func (s *stage) register(who operatorCaller, at, path string) error {
	node := s.at(at)
	_, err := node.CreateEntry(s.t.Context(), who, registrar.CreateEntry{Entry: workload.Entry{
		SPIFFEID: s.id(path), Selectors: []attest.Selector{{Type: "unix", Value: "uid:1000"}},
	}})
	return err
}

// entries name…: what a node has, without asking any other.
func (s *stage) entries(names []string) (seen []string) {
	for _, name := range names {
		a := s.actor(name)
		page, err := s.at(a.name).Entries(s.t.Context(), operator, registrar.EntryFilter{}, registrar.Page{})
		if err != nil {
			s.fail("%v", err)
		}
		var paths []string
		for _, e := range page.Items {
			paths = append(paths, e.SPIFFEID.Path())
		}
		slices.Sort(paths)
		text := strings.Join(paths, " ")
		if len(paths) > 8 {
			text = fmt.Sprint(len(paths), " entries")
		}
		seen = append(seen, name+": "+text)
	}
	return seen
}

// issue name…: a node signs an X.509-SVID and a JWT-SVID, or not.
func (s *stage) issue(names []string) (seen []string) {
	for _, name := range names {
		a := s.actor(name)
		node := s.at(a.name)
		_, jwt := node.MintJWT(s.t.Context(), operator, registrar.MintJWT{ID: s.id("/web"), Audience: []string{"bank"}})
		_, x509 := node.MintX509(s.t.Context(), operator, registrar.MintX509{CSR: s.csr("/web")})
		if refused(jwt) != refused(x509) {
			s.fail("a JWT-SVID: %v; an X.509-SVID: %v", jwt, x509)
		}
		seen = append(seen, name+": "+refused(jwt))
	}
	return seen
}

// turnover is how long a leader may take to know that it leads no more.
const turnover = 2 * time.Second

// leader [as name]: waits until most of the members that the leader knows say of one that it leads.
func (s *stage) leader(args []string) []string {
	time.Sleep(turnover)
	var found *actor
	s.eventually("somebody leads", func() bool {
		for _, a := range s.running() {
			status := s.status(a).Node
			voters := slices.DeleteFunc(slices.Clone(status.Members), func(m registrar.Member) bool { return !m.Voter })
			follow := slices.DeleteFunc(s.running(), func(b *actor) bool { return s.status(b).Node.Leader != a.name })
			if status.Leading && 2*len(follow) > len(voters) {
				found = a
				return true
			}
		}
		return false
	})
	if len(args) == 2 {
		for name, called := range s.called {
			if called == args[1] {
				delete(s.called, name)
			}
		}
		s.called[found.name] = args[1]
	}
	return []string{s.calls(found.name) + " leads"}
}

// lead name: a node is given the leadership.
func (s *stage) lead(args []string) []string {
	a := s.actor(args[0])
	if _, err := s.at(a.name).TransferLeadership(s.t.Context(), operator, a.name, false); err != nil {
		return []string{refused(err)}
	}
	s.eventually(a.name+" leads", func() bool { return s.status(a).Node.Leading })
	return s.leader(nil)
}

// agree: waits until all nodes that are up have the same state.
func (s *stage) agree([]string) []string {
	all := s.running()
	s.eventually("they have one state", func() bool {
		first := s.status(all[0])
		return !slices.ContainsFunc(all, func(a *actor) bool {
			other := s.status(a)
			return other.Index != first.Index || other.Digest != first.Digest || other.AuditHead != first.AuditHead
		})
	})
	return []string{fmt.Sprint(len(all), " nodes have one state")}
}

// stale name…: how old what a node knows may be.
func (s *stage) stale(names []string) (seen []string) {
	for _, name := range names {
		a := s.actor(name)
		status := s.status(a).Node
		age := "fresh"
		switch {
		case !status.Heard:
			age = "has heard no leader"
		case status.Staleness > 3*time.Second:
			age = "since " + status.Staleness.Round(10*time.Second).String()
		}
		if !status.Ready {
			age += ", not ready"
		}
		seen = append(seen, name+": "+age)
	}
	return seen
}

// says name words…: whether a node's log has these words, since it was asked last.
func (s *stage) logged(args []string) []string {
	a, words := s.actor(args[0]), strings.Join(args[1:], " ")
	text := a.log.String()
	fresh := text[a.read:]
	a.read = len(text)
	for line := range strings.Lines(fresh) {
		if strings.Contains(line, words) && !strings.Contains(line, "level=DEBUG") {
			level, _, _ := strings.Cut(line[strings.Index(line, "level=")+len("level="):], " ")
			return []string{args[0] + " says so (" + level + ")"}
		}
	}
	return []string{args[0] + " does not"}
}

// ended name…: waits until a node has ended by itself, and says why.
func (s *stage) endedBy(names []string) (seen []string) {
	for _, name := range names {
		a := s.actor(name)
		s.eventually(a.name+" ends", func() bool { return a.why() != nil })
		why, _, _ := strings.Cut(a.why().Error(), ":")
		seen = append(seen, name+": "+why)
	}
	return seen
}

// remove name: a member is taken out.
func (s *stage) remove(args []string) []string {
	at := args[0]
	_, err := s.at(at).RemoveMember(s.t.Context(), operator, registrar.RemoveMember{Member: args[1]})
	return []string{refused(err)}
}

// snapshots name…: whether a node was given, or took, a snapshot.
func (s *stage) snapshots(names []string) (seen []string) {
	for _, name := range names {
		a := s.actor(name)
		seen = append(seen, fmt.Sprintf("%s: %v", name, len(a.snapshots()) > 0))
	}
	return seen
}

// token name joiner: a join token is made.
func (s *stage) makeToken(args []string) []string {
	_, err := s.at(args[0]).CreateJoinToken(s.t.Context(), operator, registrar.NewToken{Name: args[1]})
	return []string{refused(err)}
}
