package admin_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/concord-id/concord/broker/admin"
	"github.com/concord-id/concord/broker/admin/client"
)

// FuzzBody sends bodies to every route that reads one, as a dry run where there
// is one: the answer is JSON and never an internal error, and nothing changes.
func FuzzBody(f *testing.F) {
	furnished := furnish(f)
	var targets []string
	table := admin.RoutesOf(furnished.api)
	for name, route := range table {
		if route.Body {
			targets = append(targets, name)
		}
	}
	slices.Sort(targets)
	for i := range targets {
		for _, seed := range documentSeeds {
			f.Add(uint8(i), []byte(seed))
		}
		f.Add(uint8(i), furnished.document)
		f.Add(uint8(i), []byte(`{"keys":null}`))
	}
	api, digest := said(furnished.api), furnished.View().Digest()
	f.Fuzz(func(t *testing.T, target uint8, body []byte) {
		name := targets[int(target)%len(targets)]
		path := verbs[name].path(furnished)
		if slices.Contains(table[name].Query, "dry_run") {
			path += "?dry_run=true"
		}
		request := httptest.NewRequest(strings.Fields(name)[0], path, bytes.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		api.ServeHTTP(answer, request)
		if answer.Code >= http.StatusInternalServerError || !json.Valid(answer.Body.Bytes()) {
			t.Fatalf("%s answered %d %s", name, answer.Code, answer.Body)
		}
		if answer.Code >= http.StatusBadRequest {
			var refused client.Error
			if err := json.Unmarshal(answer.Body.Bytes(), &refused); err != nil || refused.Error.Code == "" || refused.Error.Detail == "" {
				t.Fatalf("%s answered %d %s", name, answer.Code, answer.Body)
			}
		}
		if furnished.View().Digest() != digest {
			t.Fatalf("%s changed something on a dry run", name)
		}
	})
}
