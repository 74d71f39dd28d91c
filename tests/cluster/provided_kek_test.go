package cluster

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/node"
	"github.com/concord-id/concord/ca/keys"
	"github.com/concord-id/concord/tests/world"
)

// provided is a key-encryption key as the environment gives it, and its ID.
func provided(t *testing.T) (text, id string) {
	t.Helper()
	kek := make([]byte, keys.KEKBytes)
	rand.Read(kek)
	return base64.StdEncoding.EncodeToString(kek), keys.KEKID(kek)
}

// provide gives the next node that is started a key-encryption key, and if next is
// not empty the one that is to take its place.
func provide(t *testing.T, kek, next string) {
	t.Helper()
	t.Setenv("CONCORD_KEK", kek)
	t.Setenv("CONCORD_KEK_NEXT", next)
	if next == "" {
		os.Unsetenv("CONCORD_KEK_NEXT")
	}
}

func TestAProvidedKEKIsNotHandedOver(t *testing.T) {
	first, firstID := provided(t)
	second, secondID := provided(t)
	provide(t, first, "")
	members := []*world.Node{world.Start(t, "acme.example", laboratory)}
	for _, name := range []string{"n2", "n3"} {
		n := world.Joining(t, "acme.example", members[0].Admin().JoinToken(name).Token, name, laboratory)
		provide(t, first, "")
		n.Start()
		members = append(members, n)
	}
	world.Eventually(t, "all members vote", func() bool { return members[0].Admin().Voters() == 3 })
	err := members[1].Admin().Try(http.MethodPost, client.Path("cluster", "rekey"), nil, nil, nil)
	if words := world.Refused(t, err, "failed_precondition"); !strings.Contains(words, "CONCORD_KEK_NEXT") {
		t.Errorf("it is not said what to do: %s", words)
	}
	if out := remove(t, members[0], "n3", nil); !strings.Contains(out.Warning, "CONCORD_KEK_NEXT") {
		t.Errorf("the removal changes the key-encryption key as little, and says %q", out.Warning)
	}
	waits := func(words string) func() bool {
		return func() bool {
			k := members[1].Admin().Cluster().Keys
			return k.Pending && k.Provided && k.KEK == firstID && strings.Contains(k.Trouble, words)
		}
	}
	world.Eventually(t, "the status says what waits", waits("CONCORD_KEK_NEXT"))
	restart := func(n *world.Node, kek, next string) {
		t.Helper()
		n.Stop()
		provide(t, kek, next)
		n.Start()
	}
	restart(members[1], first, second)
	restart(members[0], first, second)
	care := settled(t, members[0])
	if care.KEK != secondID {
		t.Errorf("it seals with %s, want %s", care.KEK, secondID)
	}
	for _, n := range members[:2] {
		restart(n, second, "")
		isReady(t, n)
	}
	members[1].Stop()
	provide(t, first, "")
	if err := members[1].TryStart(); err == nil || !strings.Contains(err.Error(), secondID) || !strings.Contains(err.Error(), "CONCORD_KEK") {
		t.Errorf("it started with the key-encryption key from before: %v", err)
	}
	for _, n := range members {
		if _, err := os.Stat(n.Path("private", "kek")); err == nil {
			t.Errorf("%s has a key-encryption key on its disk", n.Config.NodeName)
		}
	}
}

// isReady wants n to be ready.
func isReady(t *testing.T, n *world.Node) {
	t.Helper()
	world.Eventually(t, n.Config.NodeName+" is ready", func() bool { return n.Admin().Status().Ready })
}

func TestWhereNothingIsSealedThereIsNoKEKToChange(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example", func(c *node.Config) { c.KeyManager = node.KeysMemory })
	err := n.Admin().Try(http.MethodPost, client.Path("cluster", "rekey"), nil, nil, nil)
	if words := world.Refused(t, err, "failed_precondition"); !strings.Contains(words, "key-manager: memory") {
		t.Error(words)
	}
	if care := n.Admin().Cluster().Keys; care.KEK != "" || care.Pending {
		t.Errorf("it is %+v", care)
	}
}
