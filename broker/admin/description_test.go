package admin_test

import (
	"bytes"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/gorilla/mux"

	"github.com/concord-id/concord/broker/admin"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/docs/api"
	"github.com/concord-id/concord/tests/memcluster"
)

// walked are the routes that are served, by method and path.
func walked(t testing.TB, s *served) []string {
	t.Helper()
	var all []string
	err := admin.RouterOf(s.api).Walk(func(route *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := route.GetPathTemplate()
		if err != nil {
			return err
		}
		methods, err := route.GetMethods()
		for _, m := range methods {
			all = append(all, m+" "+path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func TestEveryRouteIsDescribedAndEveryDescribedRouteIsServed(t *testing.T) {
	s := serve(t, memcluster.Options{})
	doc, _ := described(t)
	table := admin.RoutesOf(s.api)
	var written []string
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			name := method + " " + doc.Servers[0].URL + path
			written = append(written, name)
			at, ok := table[name]
			if !ok {
				continue // said below
			}
			var query []string
			for _, p := range slices.Concat(item.Parameters, operation.Parameters) {
				if p.Value.In == openapi3.ParameterInQuery {
					query = append(query, p.Value.Name)
				}
			}
			slices.Sort(query)
			if !slices.Equal(query, at.Query) {
				t.Errorf("%s: the description has the query parameters %v, the route %v", name, query, at.Query)
			}
			if (operation.RequestBody != nil) != at.Body {
				t.Errorf("%s: the description has a body: %v, the route: %v", name, operation.RequestBody != nil, at.Body)
			}
		}
	}
	slices.Sort(written)
	if served := walked(t, s); !slices.Equal(written, served) {
		t.Errorf("described:\n%s\nserved:\n%s", strings.Join(written, "\n"), strings.Join(served, "\n"))
	}
}

func TestTheDescriptionIsServedAsItIs(t *testing.T) {
	s := serve(t, memcluster.Options{})
	got := s.ask(t, http.MethodGet, "/v1/openapi.yaml", nil, as("nobody"))
	if got.status != http.StatusOK || !bytes.Equal(got.body, api.OpenAPI) || got.header.Get("Content-Type") != "application/yaml" {
		t.Errorf("answered %d %s, %d bytes", got.status, got.header.Get("Content-Type"), len(got.body))
	}
}

func TestEveryOperationHasAnIDASummaryAndItsErrors(t *testing.T) {
	doc, _ := described(t)
	seen := map[string]string{}
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			name := method + " " + path
			if operation.OperationID == "" || operation.Summary == "" || len(operation.Tags) != 1 {
				t.Errorf("%s has the ID %q, the summary %q and the tags %v", name, operation.OperationID, operation.Summary, operation.Tags)
			}
			if other := seen[operation.OperationID]; other != "" {
				t.Errorf("%s and %s are both called %s", name, other, operation.OperationID)
			}
			seen[operation.OperationID] = name
			for _, status := range []int{400, 401, 403, 500} {
				if operation.Responses.Status(status) == nil {
					t.Errorf("%s does not say that it may answer %d", name, status)
				}
			}
		}
	}
}

// documents are the schemas with the Go types that are written and read.
// Requests may leave away what answers always have.
var documents = map[string]struct {
	document any
	request  bool
}{
	"Error": {client.Error{}, false}, "Entry": {client.Entry{}, false}, "NewEntry": {client.Entry{}, true}, "EntryPatch": {client.EntryPatch{}, true},
	"Entries": {client.Entries{}, false}, "EntryOutcome": {client.Outcome[client.Entry]{}, false},
	"Agent": {client.Agent{}, false}, "Agents": {client.Agents{}, false}, "AgentOutcome": {client.Outcome[client.Agent]{}, false},
	"Certificate": {client.Certificate{}, false}, "JWTAuthority": {client.JWTAuthority{}, false},
	"Bundle": {client.Bundle{}, false}, "Bundles": {client.Bundles{}, false}, "BundleOutcome": {client.Outcome[client.Bundle]{}, false},
	"Relationship": {client.Relationship{}, false}, "NewRelationship": {client.NewRelationship{}, true}, "RelationshipStatus": {client.RelationshipStatus{}, false},
	"Relationships": {client.Relationships{}, false}, "RelationshipOutcome": {client.Outcome[client.Relationship]{}, false},
	"Authority": {client.Authority{}, false}, "Authorities": {client.Authorities{}, false}, "AuthorityOutcome": {client.Outcome[client.Authority]{}, false},
	"Step": {client.Step{}, false}, "Steps": {client.Steps{}, false},
	"MintX509": {client.MintX509{}, true}, "X509SVID": {client.X509SVID{}, false}, "MintJWT": {client.MintJWT{}, true}, "JWTSVID": {client.JWTSVID{}, false},
	"Status": {client.Status{}, false}, "Member": {client.Member{}, false}, "Settings": {client.Settings{}, false}, "SettingsOutcome": {client.Outcome[client.Settings]{}, false},
	"RegisteredMember": {client.RegisteredMember{}, false}, "RegisteredMemberOutcome": {client.Outcome[client.RegisteredMember]{}, false},
	"Cluster": {client.Cluster{}, false}, "ClusterMember": {client.ClusterMember{}, false}, "NewJoinToken": {client.NewJoinToken{}, true},
	"JoinToken": {client.JoinToken{}, false}, "JoinTokenOutcome": {client.Outcome[client.JoinToken]{}, false},
	"KeyCare": {client.KeyCare{}, false}, "TurningAuthority": {client.TurningAuthority{}, false}, "KEKHolder": {client.KEKHolder{}, false},
	"Rekeyed": {client.Rekeyed{}, false}, "RekeyedOutcome": {client.Outcome[client.Rekeyed]{}, false},
	"Leader": {client.Leader{}, false}, "LeaderOutcome": {client.Outcome[client.Leader]{}, false},
	"LogLevel": {client.LogLevel{}, false}, "LogLevelOutcome": {client.Outcome[client.LogLevel]{}, false},
	"AuditField": {client.AuditField{}, false}, "AuditRecord": {client.AuditRecord{}, false}, "AuditRecords": {client.AuditRecords{}, false}, "AuditVerified": {client.AuditVerified{}, false}, "AuditGap": {client.AuditGap{}, false},
}

func TestEverySchemaHasTheMembersOfItsDocument(t *testing.T) {
	doc, _ := described(t)
	for name, schema := range doc.Components.Schemas {
		want, ok := documents[name]
		if !ok {
			if name != "SPIFFEBundle" && len(schema.Value.Properties) > 0 {
				t.Errorf("schema %s has no document", name)
			}
			continue
		}
		var have, always []string
		for _, field := range reflect.VisibleFields(reflect.TypeOf(want.document)) {
			member, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			if member == "" {
				continue
			}
			have = append(have, member)
			if options == "" {
				always = append(always, member)
			}
		}
		written := make([]string, 0, len(schema.Value.Properties))
		for member := range schema.Value.Properties {
			written = append(written, member)
		}
		required := slices.Clone(schema.Value.Required)
		for _, list := range [][]string{have, always, written, required} {
			slices.Sort(list)
		}
		if !slices.Equal(have, written) {
			t.Errorf("%s: the document has the members %v, its schema %v", name, have, written)
		}
		if !want.request && !slices.Equal(always, required) {
			t.Errorf("%s: the document always has %v, its schema requires %v", name, always, required)
		}
	}
	for name := range documents {
		if doc.Components.Schemas[name] == nil {
			t.Errorf("document %s has no schema", name)
		}
	}
}

// TestTheExamplesOfRequestsAreRequests sends every body that the description
// shows, as a dry run where there is one.
func TestTheExamplesOfRequestsAreRequests(t *testing.T) {
	f := furnish(t)
	doc, _ := described(t)
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			if operation.RequestBody == nil {
				continue
			}
			name := method + " /v1" + path
			examples := operation.RequestBody.Value.Content["application/json"].Examples
			if len(examples) == 0 {
				t.Errorf("%s has no example", name)
			}
			to := verbs[name].path(f)
			if slices.Contains(admin.RoutesOf(f.api)[name].Query, "dry_run") {
				to += "?dry_run=true"
			}
			for title, example := range examples {
				if a := f.ask(t, method, to, example.Value.Value); a.status != http.StatusOK {
					t.Errorf("%s: %s is answered %d %s", name, title, a.status, a.body)
				}
			}
		}
	}
}
