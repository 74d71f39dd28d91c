package node

import (
	"github.com/concord-id/concord/broker/registrar"
)

// status is this node as its machines know it.
func (n *Node) status() registrar.NodeStatus {
	r := n.readiness()
	since, heard := n.replica.Staleness()
	raft := n.replica.Status()
	s := registrar.NodeStatus{
		Name: n.config.NodeName, Version: n.version, StartedAt: n.started,
		Addresses: map[string]string{"api": n.addresses.API, "raft": n.addresses.Raft, "bundle": n.addresses.Bundle, "ops": n.addresses.Ops},
		Ready:     r.Ready, Reasons: r.Reasons, Leading: raft.Leading, Leader: string(raft.Leader),
		Staleness: since, Heard: heard,
	}
	for _, m := range raft.Members {
		s.Members = append(s.Members, registrar.Member{ID: string(m.ID), Address: string(m.Address), Voter: m.Voter})
	}
	if c, err := n.serverCertificate(); err == nil {
		s.ServerSVID = c.Certificate
	}
	return s
}
