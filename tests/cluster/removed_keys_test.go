package cluster

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/node"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/keys"
	"github.com/concord-id/concord/tests/world"
)

// settled waits until nothing is left to do about the keys.
func settled(t *testing.T, n *world.Node) client.KeyCare {
	t.Helper()
	var care client.KeyCare
	world.Eventually(t, "nothing is left to do about the keys", func() bool {
		care = n.Admin().Cluster().Keys
		return !care.Pending && len(care.Turning) == 0
	})
	return care
}

// restorable is whether a backup of n can be restored with the key-encryption key
// in a file.
func restorable(t *testing.T, backup []byte, kek string) error {
	t.Helper()
	_, err := node.Restore(node.Restoring{
		Backup: bytes.NewReader(backup), Size: int64(len(backup)), DataDir: filepath.Join(world.Dir(t), "restored"), KEK: kek,
		WithoutPublished: true, DryRun: true, Actor: "a test", Cause: "to see whether it opens",
	})
	return err
}

// backupOf is a backup of what n has.
func backupOf(t *testing.T, n *world.Node) []byte {
	t.Helper()
	var backup bytes.Buffer
	if err := client.New(n.Path("admin.sock"), "a test").Download(world.Soon(t), client.Path("cluster", "backup"), &backup); err != nil {
		t.Fatal(err)
	}
	return backup.Bytes()
}

// sealedBy is how a private key begins that kek sealed.
func sealedBy(kek []byte) []byte {
	check, _ := hex.DecodeString(keys.KEKID(kek))
	return append([]byte(ca.SealedMagic), check...)
}

func TestWhatARemovedMemberKnowsOpensNothingThatComesAfter(t *testing.T) {
	t.Parallel()
	members := world.StartCluster(t, "acme.example", 3, laboratory)
	members[0].Admin().Turn("x509") // so that there is an old authority too, whose public half is still trusted
	before := backupOf(t, members[0])
	members[1].Admin().RemoveMember("n3")
	settled(t, members[1])
	if err := members[2].Ended(); err == nil {
		t.Error("the removed member goes on")
	}
	known, now := kekOf(t, members[2]), kekOf(t, members[0])
	if bytes.Equal(known, now) {
		t.Fatal("the removed member knows the key-encryption key of now")
	}
	after := backupOf(t, members[0])
	if !bytes.Contains(before, sealedBy(known)) || bytes.Contains(after, sealedBy(known)) || !bytes.Contains(after, sealedBy(now)) {
		t.Error("something is still sealed with the key-encryption key that the removed member knows")
	}
	if err := restorable(t, after, members[2].Path("private", "kek")); !errors.Is(err, keys.ErrWrongKEK) {
		t.Errorf("what the removed member knows opens the backup: %v", err)
	}
	for when, test := range map[string]struct {
		backup []byte
		kek    string
	}{"of before": {before, members[2].Path("private", "kek")}, "of now": {after, members[0].Path("private", "kek")}} {
		if err := restorable(t, test.backup, test.kek); err != nil {
			t.Errorf("the backup %s with its own key-encryption key: %v", when, err)
		}
	}
	for _, a := range members[0].Admin().Authorities() {
		if a.Exposed || a.Tainted {
			t.Errorf("%s authority %s is replaced, and nobody said that the member was compromised", a.Use, a.ID)
		}
	}
	nowhere(t, members[:2], known, now)
	nowhere(t, members[2:], now)
}

func TestWhatACompromisedMemberCouldOpenSignsNoMore(t *testing.T) {
	t.Parallel()
	members := world.StartCluster(t, "acme.example", 3, laboratory)
	members[0].Admin().Register(client.Entry{SPIFFEID: members[0].ID("/web").String()})
	members[0].Admin().Turn("jwt")
	exposed := members[0].Admin().Authorities()
	remove(t, members[1], "n3", url.Values{"compromised": {"true"}})
	// The leader that begins need not be the one that ends.
	world.Eventually(t, "another leads", func() bool {
		return members[0].Admin().Try(http.MethodPost, client.Path("cluster", "transfer"), nil, nil, nil) == nil
	})
	settled(t, members[0])
	replaced(t, members[0], exposed)
	for _, n := range members[:2] {
		world.Eventually(t, n.Config.NodeName+" signs by an authority that was made since", func() bool {
			svid := issues(t, n, published(t, n))
			issuer := fmt.Sprintf("%x", svid.Certificates[len(svid.Certificates)-1].AuthorityKeyId)
			return !slices.ContainsFunc(exposed, func(a client.Authority) bool { return a.ID == issuer })
		})
	}
	known := kekOf(t, members[2])
	if bytes.Contains(backupOf(t, members[0]), sealedBy(known)) {
		t.Error("the compromised member could open something that there is")
	}
	nowhere(t, members[2:], kekOf(t, members[0]))
}

// remove takes a member out in a certain way.
func remove(t *testing.T, at *world.Node, name string, how url.Values) (out client.Outcome[client.RegisteredMember]) {
	t.Helper()
	if err := at.Admin().Try(http.MethodDelete, client.Path("cluster", "members", name), how, nil, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// replaced wants each of exposed to be gone, or old and tainted, and others to sign.
func replaced(t *testing.T, n *world.Node, exposed []client.Authority) {
	t.Helper()
	was := map[string]client.Authority{}
	for _, a := range exposed {
		was[a.ID] = a
	}
	for _, a := range n.Admin().Authorities() {
		before, had := was[a.ID]
		switch {
		case had && (a.Status != "old" || !a.Tainted || !a.Exposed):
			t.Errorf("%s authority %s was %s when a member was compromised, and is now %+v", a.Use, a.ID, before.Status, a)
		case had && before.Status == "prepared":
			t.Errorf("%s authority %s was never used and is still published", a.Use, a.ID)
		case !had && (a.Tainted || a.Exposed):
			t.Errorf("%s authority %s was made since, and is %+v", a.Use, a.ID, a)
		}
	}
	for _, use := range []string{"x509", "jwt"} {
		if active := n.Admin().Authority(use, "active"); was[active.ID].ID != "" {
			t.Errorf("%s authority %s still signs", use, active.ID)
		}
	}
}

func TestWhatIsExposedIsReplacedWhenEverybodyCanKnowOrAtOnceByForce(t *testing.T) {
	t.Parallel()
	members := world.StartCluster(t, "acme.example", 3) // with a publication window
	exposed := members[0].Admin().Authorities()
	remove(t, members[0], "n3", url.Values{"compromised": {"true"}})
	var care client.KeyCare
	world.Eventually(t, "the active ones wait for their successors", func() bool {
		care = members[1].Admin().Cluster().Keys
		return !care.Pending && len(care.Turning) == 2 && care.Turning[0].Next != "" && care.Turning[1].Next != ""
	})
	for _, a := range care.Turning {
		if a.Status != "active" || a.Earliest.IsZero() || care.AtOnce {
			t.Errorf("it is %+v", a)
		}
	}
	if marked := slices.DeleteFunc(members[0].Admin().Authorities(), func(a client.Authority) bool { return !a.Exposed }); len(marked) != 2 {
		t.Errorf("exposed are %+v", marked)
	}
	err := members[0].Admin().Try(http.MethodDelete, client.Path("cluster", "members", "n2"), url.Values{"force": {"true"}}, nil, nil)
	world.Refused(t, err, "invalid_argument")
	remove(t, members[0], "n3", url.Values{"compromised": {"true"}, "force": {"true"}})
	if care := settled(t, members[0]); !care.AtOnce {
		t.Errorf("it is %+v", care)
	}
	replaced(t, members[0], exposed)
}

func TestANodeStartsWhereverARekeyWasCutOff(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example", laboratory)
	n.Admin().Register(client.Entry{SPIFFEID: n.ID("/web").String()})
	private := func(name string) string { return n.Path("private", name) }
	next := func(kek []byte) string { return private("kek.next-0-0-" + keys.KEKID(kek)) }
	swap := func(cut func(before, after []byte)) {
		t.Helper()
		before := kekOf(t, n)
		rekey(t, n)
		after := kekOf(t, n)
		n.Stop()
		cut(before, after)
		n.Start()
		if now := kekOf(t, n); !bytes.Equal(now, after) {
			t.Errorf("it has the key-encryption key %s, want %s", keys.KEKID(now), keys.KEKID(after))
		}
		if left, _ := filepath.Glob(private("*kek[.-]*")); len(left) > 0 {
			t.Errorf("it keeps %v", left)
		}
		issues(t, n, published(t, n))
	}
	write := func(path string, kek []byte) {
		t.Helper()
		if err := os.WriteFile(path, kek, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Log("after the log has it, before the files are swapped")
	swap(func(before, after []byte) {
		write(private("kek"), before)
		write(next(after), after)
	})
	t.Log("while a key-encryption key was written, and with one that was never used")
	swap(func(_, _ []byte) {
		unused := bytes.Repeat([]byte{7}, keys.KEKBytes)
		write(private(".kek-123"), make([]byte, 7))
		write(next(unused), unused)
	})
	if left, _ := filepath.Glob(private("kek.next*")); len(left) > 0 {
		t.Errorf("it keeps %v", left)
	}
}

func TestAMemberWhoseKEKNobodyHasSaysSo(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example", laboratory)
	before := kekOf(t, n)
	rekey(t, n)
	n.Stop()
	after := kekOf(t, n)
	if err := os.WriteFile(n.Path("private", "kek"), before, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.TryStart(); err == nil || !strings.Contains(err.Error(), keys.KEKID(after)) || !strings.Contains(err.Error(), "put a copy at") {
		t.Errorf("it started with a key-encryption key that opens nothing: %v", err)
	}
}

// A leader that is removed reads of it first. It must not make the key that takes
// the place of the one that it knows.
func TestARemovedLeaderDoesNotKnowTheNewKey(t *testing.T) {
	t.Parallel()
	members := world.StartCluster(t, "acme.example", 3, laboratory)
	leader := -1
	world.Eventually(t, "one leads", func() bool {
		leader = slices.IndexFunc(members, func(n *world.Node) bool { return n.Admin().Status().Leading })
		return leader >= 0
	})
	gone, other := members[leader], members[(leader+1)%len(members)]
	remove(t, other, gone.Config.NodeName, url.Values{"compromised": {"true"}})
	world.Eventually(t, "the keys are sealed anew", func() bool {
		k := other.Admin().Cluster().Keys
		return !k.Pending && k.Since > 0
	})
	now := kekOf(t, other)
	names, err := filepath.Glob(gone.Path("private", "kek*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("it has no key at all: %v", err)
	}
	for _, name := range names {
		if text, err := os.ReadFile(name); err != nil || bytes.Equal(text, now) {
			t.Errorf("the removed leader knows the key of now: %s, %v", name, err)
		}
	}
}
