package node

import (
	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker/registrar"
)

// status is this node as its machines know it.
func (n *Node) status() registrar.NodeStatus {
	r := n.readiness()
	since, heard := n.replica.Staleness()
	now := n.replica.Status()
	s := registrar.NodeStatus{
		ID: string(now.ID), Name: n.config.NodeName, Version: n.version, StartedAt: n.started,
		Addresses: map[string]string{"api": n.addresses.API, "raft": n.addresses.Raft, "bundle": n.addresses.Bundle, "ops": n.addresses.Ops},
		Ready:     r.Ready, Reasons: r.Reasons, Leading: now.Leading, Leader: n.nameOf(now.Leader),
		Staleness: since, Heard: heard,
	}
	view := n.replica.View()
	for _, m := range now.Members {
		known, _ := view.Member(string(m.ID))
		s.Members = append(s.Members, registrar.Member{ID: string(m.ID), Name: known.Name, Address: string(m.Address), Voter: m.Voter})
	}
	if c, err := n.serverCertificate(); err == nil {
		s.ServerSVID = c.Certificate
	}
	return s
}

// nameOf is how a person calls a member: by its name, or before it has told one
// by its ID.
func (n *Node) nameOf(id raft.ServerID) string {
	if m, known := n.replica.View().Member(string(id)); known {
		return m.Name
	}
	return string(id)
}
