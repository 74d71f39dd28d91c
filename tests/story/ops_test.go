package story

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/concord-id/concord/broker/node"
	"github.com/concord-id/concord/tests/world"
)

type nodeConfig = node.Config

// get makes a request of the operations port.
func get(t *testing.T, n *world.Node, path string) (status int, body []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(world.Soon(t), http.MethodGet, "http://"+n.Addresses().Ops+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err = io.ReadAll(answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, body
}

// readiness is what /ready says.
func readiness(t *testing.T, n *world.Node) (ready bool, reasons []string) {
	t.Helper()
	status, body := get(t, n, "/ready")
	var answer struct {
		Ready   bool     `json:"ready"`
		Reasons []string `json:"reasons"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("/ready: %v: %s", err, body)
	}
	if want := map[bool]int{true: 200, false: 503}[answer.Ready]; status != want {
		t.Errorf("/ready answers %d with %s", status, body)
	}
	if answer.Ready != (len(answer.Reasons) == 0) {
		t.Errorf("/ready: %s", body)
	}
	return answer.Ready, answer.Reasons
}
