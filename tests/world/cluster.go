package world

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/node"
)

// StartCluster starts size nodes of the trust domain called name: n1 founds it,
// the others join. It returns once all of them vote.
func StartCluster(t testing.TB, name string, size int, change ...func(*node.Config)) []*Node {
	t.Helper()
	members := []*Node{Start(t, name, change...)}
	for i := 2; i <= size; i++ {
		n := Joining(t, name, members[0].Admin().JoinToken(fmt.Sprint("n", i)).Token, fmt.Sprint("n", i), change...)
		n.Start()
		members = append(members, n)
	}
	for _, n := range members {
		Eventually(t, "all members vote", func() bool { return n.Admin().Voters() == size })
	}
	return members
}

// Joining is a node that joins with a token when it is started.
func Joining(t testing.TB, name, token, nodeName string, change ...func(*node.Config)) *Node {
	t.Helper()
	n := newNode(t, name, change...)
	n.Config.NodeName, n.token = nodeName, token
	return n
}

// JoinToken makes a token for a node called name.
func (a *Admin) JoinToken(name string) client.JoinToken {
	a.t.Helper()
	var out client.Outcome[client.JoinToken]
	a.do(http.MethodPost, client.Path("cluster", "tokens"), nil, client.NewJoinToken{Name: name, TTL: client.Duration(time.Hour)}, &out)
	return *out.After
}

// Cluster is how the members are.
func (a *Admin) Cluster() client.Cluster {
	a.t.Helper()
	var out client.Cluster
	a.do(http.MethodGet, client.Path("cluster"), nil, nil, &out)
	return out
}

// Voters is how many members answer and vote.
func (a *Admin) Voters() int {
	a.t.Helper()
	voters := 0
	for _, m := range a.Cluster().Members {
		if m.Voter && m.Answers {
			voters++
		}
	}
	return voters
}

// RemoveMember takes a member out.
func (a *Admin) RemoveMember(name string) {
	a.t.Helper()
	a.do(http.MethodDelete, client.Path("cluster", "members", name), nil, nil, nil)
}

// Ended waits until the node ends by itself, and returns why.
func (n *Node) Ended() error {
	n.t.Helper()
	return n.running.Wait(Soon(n.t))
}
