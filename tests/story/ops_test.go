package story

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"github.com/concord-id/concord/broker/admin/client"
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

func TestANewNodeIsLiveAndReady(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example")
	if status, body := get(t, n, "/live"); status != http.StatusOK || string(body) != "{\"live\":true}\n" {
		t.Errorf("/live answers %d with %s", status, body)
	}
	if ready, reasons := readiness(t, n); !ready {
		t.Errorf("not ready: %q", reasons)
	}
	if status, _ := get(t, n, "/other"); status != http.StatusNotFound {
		t.Errorf("/other answers %d", status)
	}
	if got := n.Admin().Status(); !got.Ready || len(got.Reasons) != 0 || !got.Leading {
		t.Errorf("its status is %+v", got)
	}
}

// DESIGN §2.5.
func TestNoPeerMakesANodeUnready(t *testing.T) {
	t.Parallel()
	eachProfile(t, func(t *testing.T, n *world.Node, p *world.Peer, _ *world.Watch[*workloadapi.X509Context]) {
		for _, answer := range []http.HandlerFunc{text(`{"keys":null}`), failing(http.StatusInternalServerError), text(`{"keys":[]}`)} {
			p.Answer(answer)
			n.Admin().Refresh(bankDomain)
			if ready, reasons := readiness(t, n); !ready {
				t.Errorf("not ready: %q", reasons)
			}
		}
		n.Admin().Part(bankDomain)
		if ready, reasons := readiness(t, n); !ready {
			t.Errorf("not ready: %q", reasons)
		}
	})
}

// documented are the metrics of docs/metrics.md: type and labels by name.
func documented(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(concord_[a-z0-9_]+)` \\| ([a-z]+) \\| ([^|]*)\\| ").FindAllStringSubmatch(string(page), -1) {
		labels := strings.Split(strings.NewReplacer("`", "", " ", "").Replace(row[3]), ",")
		slices.Sort(labels)
		if _, twice := found[row[1]]; twice {
			t.Errorf("docs/metrics.md describes %s twice", row[1])
		}
		found[row[1]] = row[2] + " " + strings.Join(labels, ",")
	}
	return found
}

func TestEveryMetricIsDocumentedAndThere(t *testing.T) {
	t.Parallel()
	n, bank := world.Start(t, "acme.example"), world.NewPeer(t, "bank.example", "https_web")
	admin := n.Admin()
	admin.Relate(bank.Relationship())
	admin.Refresh(bankDomain)
	admin.Register(client.Entry{SPIFFEID: n.ID("/billing").String(), FederatesWith: []string{"bank.example"}})
	n.WatchX509().Next()
	admitted(t, n)

	_, body := get(t, n, "/metrics")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		t.Fatalf("/metrics is not understood: %v", err)
	}
	known, values := documented(t), map[string]float64{}
	for name, family := range families {
		if !strings.HasPrefix(name, "concord_") {
			continue
		}
		var labels []string
		for _, pair := range family.Metric[0].Label {
			labels = append(labels, pair.GetName())
		}
		slices.Sort(labels)
		is := strings.ToLower(family.GetType().String()) + " " + strings.Join(labels, ",")
		if known[name] != is {
			t.Errorf("%s is %q, and docs/metrics.md says %q", name, is, known[name])
		}
		if family.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
		for _, m := range family.Metric {
			values[name] += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	for name := range known {
		if families[name] == nil {
			t.Errorf("docs/metrics.md describes %s, which a node does not have", name)
		}
	}
	for name, want := range map[string]float64{
		"concord_ready": 1, "concord_raft_leading": 1, "concord_entries": 1, "concord_agents": 1, "concord_relationships": 1,
		"concord_bundle_sequence": float64(admin.Bundle(n.TrustDomain).Sequence), "concord_peer_bundle_sequence": 1,
		"concord_peer_failing": 0, "concord_workload_streams": 1, "concord_workload_identities": 1, "concord_endpoint_answers_total": 1,
	} {
		if values[name] != want {
			t.Errorf("%s is %v, want %v", name, values[name], want)
		}
	}
}

// What a configuration may change while the node runs.
func TestAReloadTakesTheLogLevelAndSaysWhatItDidNotTake(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example")
	next := n.Config
	next.LogLevel = "error"
	n.Reload(next, nil)
	if quiet := len(n.Log.String()); n.Admin().Turn("jwt").ID == "" || len(n.Log.String()) != quiet {
		t.Errorf("at error it logged %s", n.Log.String()[quiet:])
	}
	next.LogLevel, next.RefreshHint = "info", next.RefreshHint/2
	n.Reload(next, nil)
	n.Log.Await(t, "need a restart")
	n.Reload(next, errors.New("line 3: unknown key"))
	n.Log.Await(t, "line 3: unknown key")
	if got := time.Duration(n.Admin().Status().Settings.RefreshHint); got != n.Config.RefreshHint {
		t.Errorf("the hint is %s", got)
	}
}
