package cluster

import "slices"

// partition a b | c…: the groups do not hear each other.
func (s *stage) partition(args []string) {
	var groups [][]*actor
	for _, side := range divide(args, "|") {
		groups = append(groups, s.some(side))
	}
	for i, one := range groups {
		for j, other := range groups {
			if i != j {
				s.links(one, other, true)
			}
		}
	}
}

// cut a > b…: what a sends does not reach b…
func (s *stage) cutOff(args []string) { s.links(s.some(args[:1]), s.some(args[2:]), true) }

// mend a… | b…: the groups hear each other again.
func (s *stage) mend(args []string) {
	sides := divide(args, "|")
	one, other := s.some(sides[0]), s.some(sides[1])
	s.links(one, other, false)
	s.links(other, one, false)
}

// heal: all nodes hear each other.
func (s *stage) heal([]string) { s.links(s.actors, s.actors, false) }

func (s *stage) links(from, to []*actor, cut bool) {
	for _, a := range from {
		for _, b := range to {
			if cut {
				s.network.Cut(a.host, b.host)
			} else {
				s.network.Heal(a.host, b.host)
			}
		}
	}
}

// isolate cuts a node off from everybody, or heals that.
func (s *stage) isolate(a *actor, cut bool) {
	others := slices.DeleteFunc(slices.Clone(s.actors), func(b *actor) bool { return a == b })
	s.links([]*actor{a}, others, cut)
	s.links(others, []*actor{a}, cut)
	for i := range s.peers {
		host := s.peerHost(i)
		if cut {
			s.network.Cut(a.host, host)
		} else {
			s.network.Heal(a.host, host)
		}
	}
}

// pause name: what a node sends and is sent waits, and so does its disk. Its
// timers run on, unlike those of a stopped process.
func (s *stage) pause(args []string) {
	a := s.actor(args[0])
	s.isolate(a, true)
	a.disk.hold()
}

// resume name: it goes on.
func (s *stage) resume(args []string) {
	a := s.actor(args[0])
	a.disk.release()
	s.isolate(a, false)
}

// divide cuts words at a separator.
func divide(words []string, at string) (parts [][]string) {
	for {
		i := slices.Index(words, at)
		if i < 0 {
			return append(parts, words)
		}
		parts, words = append(parts, words[:i]), words[i+1:]
	}
}
