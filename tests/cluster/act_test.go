package cluster

import (
	"strconv"
	"strings"
	"time"

	"github.com/concord-id/concord/broker/node"
	"github.com/concord-id/concord/broker/registrar"
)

// act does one line of a story and returns what is seen.
func (s *stage) act(words []string) []string {
	s.t.Helper()
	verb, args := words[0], words[1:]
	quiet, isQuiet := map[string]func([]string){
		"with": s.with, "version": s.versioned, "short-logs": s.shortLogs,
		"found": s.found, "join": s.join, "kill": s.kill, "stop": s.stop,
		"partition": s.partition, "cut": s.cutOff, "mend": s.mend, "heal": s.heal, "pause": s.pause, "resume": s.resume,
		"slow-disk": s.slowDisk, "clock": s.clock, "advance": func(a []string) { time.Sleep(s.duration(a[0])) },
		"alter": s.alter, "peers": s.furnishPeers, "peer-turns": s.turnPeer,
	}[verb]
	if isQuiet {
		quiet(args)
		return nil
	}
	seen, ok := map[string]func([]string) []string{
		"start": s.start, "write": s.write, "writes": s.writes, "entries": s.entries, "issue": s.issue, "leader": s.leader, "lead": s.lead, "agree": s.agree,
		"stale": s.stale, "says": s.logged, "authorities": s.authorities, "activate": s.activate, "audit": s.audit, "done": s.done, "remove": s.remove,
		"ended": s.endedBy, "polled": s.polled, "bundle": s.bundleWrites, "snapshots": s.snapshots, "token": s.makeToken,
	}[verb]
	if !ok {
		s.fail("nobody knows how")
	}
	return seen(args)
}

// with key=duration…: how the nodes are configured that come.
func (s *stage) with(args []string) {
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		d := s.duration(value)
		s.config = append(s.config, func(c *node.Config) {
			*map[string]*time.Duration{
				"root-ttl": &c.RootTTL, "intermediate-ttl": &c.IntermediateTTL, "x509-svid-ttl": &c.X509TTL, "jwt-svid-ttl": &c.JWTTTL,
				"refresh-hint": &c.RefreshHint, "publication-window": &c.PublicationWindow, "max-staleness": &c.MaxStaleness, "remove-silent-after": &c.RemoveSilent,
			}[key] = d
		})
	}
}

// version v n…: the nodes that are named, or those that come, are of version v, which knows the commands up to n.
func (s *stage) versioned(args []string) {
	commands, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		s.fail("%v", err)
	}
	s.version, s.around.Commands = args[0], commands
	for _, a := range s.some(args[2:]) {
		a.version, a.around.Commands = args[0], commands
	}
}

// short-logs: the nodes that come take a snapshot after a few entries, and forget those before.
func (s *stage) shortLogs([]string) { s.around.SnapshotEntries, s.around.TrailingEntries = 16, 2 }

// add makes a node that was not started.
func (s *stage) add(name string) *actor {
	a := newActor(s.t, s.network, len(s.actors)+1, name, s.config...)
	a.around.Commands, a.around.SnapshotEntries, a.around.TrailingEntries = s.around.Commands, s.around.SnapshotEntries, s.around.TrailingEntries
	if s.version != "" {
		a.version = s.version
	}
	s.actors = append(s.actors, a)
	s.t.Cleanup(func() { a.disk.release(); a.stop() })
	return a
}

// found name: the first node.
func (s *stage) found(args []string) {
	if err := <-s.add(args[0]).start(); err != nil {
		s.fail("%v", err)
	}
}

// join name…: nodes join, one after another, by the token of whichever answers, and are given their vote.
func (s *stage) join(names []string) {
	for _, name := range names {
		var token string
		s.eventually("a member makes a token", func() bool {
			for _, a := range s.running() {
				made, err := a.up().Registrar().CreateJoinToken(s.t.Context(), operator, registrar.NewToken{Name: name})
				if err == nil {
					token = made.After.Text
					return true
				}
			}
			return false
		})
		a := s.add(name)
		a.token = token
		if err := <-a.start(); err != nil {
			s.fail("%v", err)
		}
		s.eventually(name+" votes", func() bool {
			for _, m := range s.status(a).Node.Members {
				if m.ID == s.status(a).Node.ID && m.Voter {
					return true
				}
			}
			return false
		})
	}
}

// kill name…: nobody hears anything more of a node, and it ends, and with it what it had sent and
// what was sent to it.
func (s *stage) kill(names []string) {
	for _, a := range s.some(names) {
		s.isolate(a, true)
		a.stop()
		s.network.Drop(a.host)
		a.killed = true
	}
}

// stop name…: a node is told to stop.
func (s *stage) stop(names []string) {
	for _, a := range s.some(names) {
		a.stop()
	}
}

// start name…: nodes start, all at once, and are reached again. Those that wait for a leader go on doing so.
func (s *stage) start(names []string) (seen []string) {
	all := s.some(names)
	var begun []<-chan error
	for _, a := range all {
		if a.killed {
			s.isolate(a, false)
			a.killed = false
		}
		begun = append(begun, a.start())
	}
	limit := time.After(time.Minute)
	for i := range all {
		select {
		case err := <-begun[i]:
			if err != nil {
				seen = append(seen, names[i]+" does not start: "+err.Error())
			}
		case <-limit:
			limit = time.After(0)
			seen = append(seen, names[i]+" waits")
		}
	}
	return seen
}

// slow-disk name duration: every write of a node's log takes so much longer.
func (s *stage) slowDisk(args []string) { s.actor(args[0]).disk.slow(s.duration(args[1])) }

// clock name offset: a node's clock is so far ahead.
func (s *stage) clock(args []string) {
	s.actor(args[0]).skew.Store(int64(s.duration(strings.TrimPrefix(args[1], "+"))))
}
