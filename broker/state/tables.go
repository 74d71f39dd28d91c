package state

import (
	"sync"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/workload"
)

// tables is the state itself, and the indexes that follow from it.
type tables struct {
	domain        table[home]
	publication   table[publication]
	authorities   table[ca.Authority]
	entries       table[workload.Entry]
	relationships table[federation.Relationship]
	bundles       table[foreign]
	agents        table[Agent]
	requests      table[request]
	members       table[Member]
	removed       table[Removed]
	joinTokens    table[JoinToken]
	duties        table[Duties]
	sealing       table[Sealing]

	lookup entryIndex   // of entries
	held   heldKeys     // of bundles and publication
	queue  requestQueue // of requests

	// forking is held while the tables are copied: copying marks their nodes as
	// shared, which readers do not look at.
	forking *sync.Mutex
}

func newTables() tables {
	return tables{
		domain:        newTable(&homeShape),
		publication:   newTable(&publicationShape),
		authorities:   newTable(&authorityShape),
		entries:       newTable(&entryShape),
		relationships: newTable(&relationshipShape),
		bundles:       newTable(&foreignShape),
		agents:        newTable(&agentShape),
		requests:      newTable(&requestShape),
		members:       newTable(&memberShape),
		removed:       newTable(&removedShape),
		joinTokens:    newTable(&joinTokenShape),
		duties:        newTable(&dutiesShape),
		sealing:       newTable(&sealingShape),

		lookup: newEntryIndex(),
		held:   newHeldKeys(),
		queue:  newRequestQueue(MaxRequests),

		forking: new(sync.Mutex),
	}
}

// copy returns tables that can be changed while t stays as it is.
func (t tables) copy() tables {
	t.forking.Lock()
	defer t.forking.Unlock()
	return tables{
		domain:        t.domain.copy(),
		publication:   t.publication.copy(),
		authorities:   t.authorities.copy(),
		entries:       t.entries.copy(),
		relationships: t.relationships.copy(),
		bundles:       t.bundles.copy(),
		agents:        t.agents.copy(),
		requests:      t.requests.copy(),
		members:       t.members.copy(),
		removed:       t.removed.copy(),
		joinTokens:    t.joinTokens.copy(),
		duties:        t.duties.copy(),
		sealing:       t.sealing.copy(),

		lookup: t.lookup.copy(),
		held:   t.held.copy(),
		queue:  t.queue.copy(),

		forking: new(sync.Mutex),
	}
}

// stored is a table, whatever its records.
type stored interface {
	number() recordKind
	// each shows every record, in order, until visit returns false.
	each(visit func(fields func(visitor)) bool)
	// load takes the next record, and adds its hash.
	load(r *reader, s *sum) error
}

// stored returns the tables in the order of a snapshot.
func (t tables) stored() []stored {
	return []stored{
		t.domain, t.publication, t.authorities, t.entries, t.relationships, t.bundles, t.agents, t.requests,
		t.members, t.removed, t.joinTokens, t.duties, t.sealing,
	}
}
