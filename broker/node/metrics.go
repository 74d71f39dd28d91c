package node

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
)

// metrics returns a registry of what this node can say of itself. Everything
// is read when it is asked for: no number is kept twice. docs/metrics.md
// describes each.
func (n *Node) metrics() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collector{n})
	return registry
}

// collector reads a node.
type collector struct{ n *Node }

// Descriptions of our metrics, by what they are about.
var (
	metricInfo      = describe("build_info", "Always 1; its labels say what runs.", "version", "trust_domain", "node")
	metricReady     = describe("ready", "1 if this node can issue.")
	metricLeading   = describe("raft_leading", "1 if this node leads.")
	metricTerm      = describe("raft_term", "Raft term.")
	metricApplied   = describe("raft_applied_index", "Log index that this node has applied.")
	metricStaleness = describe("staleness_seconds", "Seconds since what this node serves was confirmed by a leader; -1 if none was heard yet.")

	metricEntries       = describe("entries", "Registration entries.")
	metricAgents        = describe("agents", "Agents known.")
	metricRelationships = describe("relationships", "Peers that this domain follows.", "state")

	metricOwnSequence   = describe("bundle_sequence", "Sequence of this domain's bundle.")
	metricAuthorityEnds = describe("authority_expiry_timestamp_seconds", "When an authority of this domain ends, as Unix time.", "use", "status", "id")

	metricPeerSequence = describe("peer_bundle_sequence", "Sequence of the bundle held of a peer.", "peer")
	metricPeerAge      = describe("peer_bundle_age_seconds", "Seconds since a peer's bundle was last confirmed to be the newest; absent before the first time.", "peer")
	metricPeerHint     = describe("peer_refresh_seconds", "Seconds between polls of a peer.", "peer")
	metricPeerPolls    = describe("peer_polls_total", "Polls of a peer since this node follows it.", "peer")
	metricPeerChanges  = describe("peer_changes_total", "Changed bundles accepted from a peer since this node follows it.", "peer")
	metricPeerFailing  = describe("peer_failing", "1 if the last poll of a peer failed.", "peer")
	metricPeerEnds     = describe("peer_authority_expiry_timestamp_seconds", "When the last X.509 authority of a peer's bundle ends, as Unix time.", "peer")

	metricStreams    = describe("workload_streams", "Open streams of the Workload API.")
	metricIdentities = describe("workload_identities", "X.509-SVIDs held for workloads of this host.")
	metricSigned     = describe("workload_x509_svids_signed_total", "X.509-SVIDs signed for workloads of this host.")

	metricEndpointAnswers     = describe("endpoint_answers_total", "Answers of the bundle endpoint.", "answer")
	metricEndpointConnections = describe("endpoint_connections", "Open connections to the bundle endpoint.")
	metricEndpointEvicted     = describe("endpoint_connections_evicted_total", "Idle connections to the bundle endpoint closed to make room.")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("concord_"+name, help, labels, nil)
}

// Describe sends nothing: what there is depends on the state.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect reads everything now.
func (c collector) Collect(to chan<- prometheus.Metric) {
	out := sink{to}
	c.node(out)
	c.cluster(out)
	c.authorities(out)
	c.peers(out)
	c.serving(out)
}

// sink makes metrics.
type sink struct{ to chan<- prometheus.Metric }

func (s sink) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s.to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (s sink) count(d *prometheus.Desc, v uint64, labels ...string) {
	s.to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func yes(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (c collector) node(out sink) {
	raft, view := c.n.replica.Status(), c.n.replica.View()
	out.gauge(metricInfo, 1, c.n.version, c.n.domain.TrustDomain.Name(), c.n.config.NodeName)
	out.gauge(metricReady, yes(c.n.readiness().Ready))
	out.gauge(metricLeading, yes(raft.Leading))
	out.gauge(metricTerm, float64(raft.Term))
	out.gauge(metricApplied, float64(raft.AppliedIndex))
	staleness := -1.0
	if raft.Heard {
		staleness = raft.Staleness.Seconds()
	}
	out.gauge(metricStaleness, staleness)
	out.gauge(metricEntries, float64(view.EntryCount()))
	out.gauge(metricAgents, float64(view.AgentCount()))
}

func (c collector) authorities(out sink) {
	view := c.n.replica.View()
	if own := view.Own(); own != nil {
		out.gauge(metricOwnSequence, float64(own.Bundle.Sequence))
	}
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		for _, a := range view.Authorities(use) {
			out.gauge(metricAuthorityEnds, float64(a.NotAfter.Unix()), use.String(), a.Status.String(), a.ID)
		}
	}
}

func (c collector) peers(out sink) {
	view, states := c.n.replica.View(), map[federation.State]int{}
	for r := range view.Relationships() {
		peer := r.TrustDomain.Name()
		status, polled := c.n.pool.Status(r.TrustDomain)
		if !polled {
			status.State = federation.StatePending
		}
		states[status.State]++
		if held := view.Foreign(r.TrustDomain); held != nil {
			out.gauge(metricPeerSequence, float64(held.Bundle.Sequence), peer)
			if last := lastEnd(held.Bundle); !last.IsZero() {
				out.gauge(metricPeerEnds, float64(last.Unix()), peer)
			}
		}
		if !status.LastSuccess.IsZero() {
			out.gauge(metricPeerAge, status.Age.Seconds(), peer)
		}
		out.gauge(metricPeerHint, status.Hint.Seconds(), peer)
		out.count(metricPeerPolls, status.Polls, peer)
		out.count(metricPeerChanges, status.Changes, peer)
		out.gauge(metricPeerFailing, yes(status.LastError != ""), peer)
	}
	for _, s := range []federation.State{federation.StatePending, federation.StateActive, federation.StateDegraded, federation.StateFailing} {
		out.gauge(metricRelationships, float64(states[s]), string(s))
	}
}

// lastEnd is when the last X.509 authority ends; zero if there is none.
func lastEnd(b *federation.Bundle) time.Time {
	var last time.Time
	for _, c := range b.X509 {
		if c.NotAfter.After(last) {
			last = c.NotAfter
		}
	}
	return last
}

func (c collector) serving(out sink) {
	grants := c.n.grants.Stats()
	out.gauge(metricStreams, float64(grants.Streams))
	out.gauge(metricIdentities, float64(grants.Identities))
	out.count(metricSigned, grants.Signed)
	answers, connections := c.n.doors.endpoint.Counts(), c.n.doors.server.Connections()
	out.count(metricEndpointAnswers, answers.Served, "bundle")
	out.count(metricEndpointAnswers, answers.NotModified, "not_modified")
	out.count(metricEndpointAnswers, answers.Unavailable, "unavailable")
	out.count(metricEndpointAnswers, answers.Refused, "refused")
	out.gauge(metricEndpointConnections, float64(connections.Open))
	out.count(metricEndpointEvicted, connections.Evicted)
}
