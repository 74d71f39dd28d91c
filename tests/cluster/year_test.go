package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/tests/memdomain"
	"github.com/concord-id/concord/workload"
)

const day = 24 * time.Hour

// sizes are what may not grow with the time that passes.
type sizes struct {
	State    int   // bytes of a backup
	Log      int64 // bytes of raft's directory
	Audit    int64 // bytes of the audit trail
	Index    uint64
	Requests int // remembered
	Tokens   int
	Removed  int
	Keys     int // authorities
	Sequence uint64
}

// sizes are those of the node n1 now.
func (s *stage) sizes() sizes {
	s.t.Helper()
	backup, err := s.at("n1").Backup(s.t.Context(), operator)
	if err != nil {
		s.fail("%v", err)
	}
	var text bytes.Buffer
	if err := backup.Write(&text); err != nil {
		s.fail("%v", err)
	}
	_, view, err := replica.ReadBackup(bytes.NewReader(text.Bytes()), int64(text.Len()))
	if err != nil {
		s.fail("%v", err)
	}
	private := filepath.Join(s.actor("n1").config.DataDir, "private")
	return sizes{
		State: text.Len(), Log: s.bytesIn(filepath.Join(private, "raft")), Audit: s.bytesIn(filepath.Join(private, "audit")), Index: view.Index(),
		Requests: view.RequestCount(), Tokens: len(slices.Collect(view.JoinTokens())), Removed: len(slices.Collect(view.RemovedMembers())),
		Keys: len(view.Authorities(ca.X509)) + len(view.Authorities(ca.JWT)), Sequence: view.Own().Bundle.Sequence,
	}
}

func (s *stage) bytesIn(dir string) (sum int64) {
	s.t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	if err != nil {
		s.fail("%v", err)
	}
	return sum
}

// workday is what an operator does: entries come and go, a peer's bundle is set anew, a
// node joins and is removed.
func (s *stage) workday(n int, peer *memdomain.Domain) {
	s.t.Helper()
	do := func(what string, err error) {
		s.t.Helper()
		if err != nil {
			s.fail("day %d, %s: %v", n, what, err)
		}
	}
	node, ctx := s.at("n1"), s.t.Context()
	who := func(what string) broker.Caller {
		c := operator
		c.RequestID = fmt.Sprintf("day-%d-%s", n, what)
		return c
	}
	for i := range 10 {
		made, err := node.CreateEntry(ctx, who(fmt.Sprint("entry-", i)), registrar.CreateEntry{Entry: workload.Entry{
			SPIFFEID: s.id(fmt.Sprintf("/d%d/w%d", n, i)), Selectors: []attest.Selector{{Type: "unix", Value: "uid:1000"}},
		}})
		do("make an entry", err)
		_, err = node.DeleteEntry(ctx, who(fmt.Sprint("end-", i)), registrar.DeleteEntry{ID: made.After.ID})
		do("delete an entry", err)
	}
	bundle := *peer.Bundle().Bundle
	bundle.Sequence += uint64(n)
	_, err := node.SetBundle(ctx, who("bundle"), registrar.SetBundle{Bundle: &bundle})
	do("set a bundle", err)
	s.guest(n, do)
}

// guest joins and is removed.
func (s *stage) guest(n int, do func(what string, err error)) {
	s.t.Helper()
	node, ctx := s.at("n1"), s.t.Context()
	name := fmt.Sprint("guest-", n)
	made, err := node.CreateJoinToken(ctx, operator, registrar.NewToken{Name: name})
	do("make a token", err)
	token, err := replica.ParseJoinToken(made.After.Text)
	do("read the token", err)
	patience, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	do("join", newKnocker(s.t, s.network, 1, token).knock(patience))
	_, err = node.RemoveMember(ctx, operator, registrar.RemoveMember{Member: name})
	do("remove a member", err)
}

// The node is started every twelfth day, for a few minutes; it is off between, so that a
// year of timers need not be lived through.
func TestAYearLeavesNothingThatGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.around.SnapshotEntries, s.around.TrailingEntries = 256, 64
		s.found([]string{"n1"})
		peer := memdomain.New(t, "peer.example")
		var quarters []sizes
		activated := map[[sha256.Size]byte]bool{}
		for n := 12; n <= 366; n += 12 {
			s.workday(n, peer)
			time.Sleep(time.Minute)
			activated[s.activeRoot()] = true
			if n%84 == 0 {
				quarters = append(quarters, s.sizes())
				t.Logf("after %d days: %+v", n, quarters[len(quarters)-1])
			}
			s.actor("n1").stop()
			time.Sleep(12 * day)
			s.start([]string{"n1"})
		}
		first, last := quarters[0], quarters[len(quarters)-1]
		perAct := float64(last.Audit) / float64(last.Index)
		t.Logf("%d authorities signed, %.0f bytes of audit trail a change", len(activated), perAct)
		for name, bad := range map[string]bool{
			"authorities do not turn":                 len(activated) < 5,
			"the state grows":                         last.State > first.State*3/2+200*(last.Tokens+last.Removed),
			"the log grows":                           last.Log > first.Log*5/2, // its file grows by doubling
			"request IDs are kept":                    last.Requests > 2*first.Requests+100,
			"authorities stay":                        last.Keys > 8,
			"the sequence does not grow":              last.Sequence <= first.Sequence,
			"the audit trail grows by more than acts": perAct > 4096,
		} {
			if bad {
				t.Errorf("%s: from %+v to %+v", name, first, last)
			}
		}
	})
}

// activeRoot is the key of the X.509 authority that signs.
func (s *stage) activeRoot() [sha256.Size]byte {
	s.t.Helper()
	all, err := s.at("n1").Authorities(s.t.Context(), operator, ca.X509)
	if err != nil {
		s.fail("%v", err)
	}
	for _, a := range all {
		if a.Status == ca.Active {
			return sha256.Sum256(a.Public)
		}
	}
	s.fail("nothing signs")
	return [sha256.Size]byte{}
}
