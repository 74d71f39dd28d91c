package admin

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"

	"github.com/concord-id/concord/broker"
)

// act is what handles a request: it returns what to answer with, a document or
// a reply, or why not.
type act func(ctx context.Context, who broker.Caller, r *request) (any, error)

// route is one act and how it is asked for.
type route struct {
	method, path string
	act          act
	query        []string // the parameters that it knows
	body         bool     // it reads one; every other refuses one
}

// Query parameters that many routes have.
var (
	dryRun = []string{"dry_run"}
	paging = []string{"page_size", "page_token"}
)

// repeatable are the parameters that may be given more than once.
var repeatable = []string{"selector", "federates_with"}

// routes are all there are; docs/api/openapi.yaml describes the same ones.
func (s *server) routes() []route {
	return slices.Concat(s.nodeRoutes(), s.entryRoutes(), s.federationRoutes(), s.authorityRoutes(), s.clusterRoutes())
}

// nodeRoutes are about the node, the domain as a whole, and what it signs.
func (s *server) nodeRoutes() []route {
	return []route{
		{http.MethodGet, "/openapi.yaml", s.description, nil, false},
		{http.MethodGet, "/status", s.status, nil, false},
		{http.MethodGet, "/settings", s.getSettings, nil, false},
		{http.MethodPut, "/settings", s.putSettings, dryRun, true},
		{http.MethodGet, "/log-level", s.getLogLevel, nil, false},
		{http.MethodPut, "/log-level", s.setLogLevel, dryRun, true},
		{http.MethodDelete, "/log-level", s.resetLogLevel, dryRun, false},
		{http.MethodGet, "/audit", s.audit, auditParameters, false},
		{http.MethodGet, "/audit/verify", s.verifyAudit, nil, false},
		{http.MethodPost, "/svids/x509", s.mintX509, nil, true},
		{http.MethodPost, "/svids/jwt", s.mintJWT, nil, true},
	}
}

// entryRoutes are about who gets which identity, and where.
func (s *server) entryRoutes() []route {
	return []route{
		{http.MethodGet, "/entries", s.listEntries, slices.Concat(paging, entryFilters), false},
		{http.MethodPost, "/entries", s.createEntry, dryRun, true},
		{http.MethodGet, "/entries/{id}", s.getEntry, nil, false},
		{http.MethodPatch, "/entries/{id}", s.patchEntry, dryRun, true},
		{http.MethodDelete, "/entries/{id}", s.deleteEntry, dryRun, false},
		{http.MethodGet, "/agents", s.listAgents, slices.Concat(paging, agentFilters), false},
		{http.MethodGet, "/agents/{id}", s.getAgent, nil, false},
		{http.MethodDelete, "/agents/{id}", s.deleteAgent, dryRun, false},
		{http.MethodPost, "/agents/{id}/ban", s.banAgent, dryRun, false},
	}
}

// federationRoutes are about other trust domains.
func (s *server) federationRoutes() []route {
	return []route{
		{http.MethodGet, "/bundles", s.listBundles, paging, false},
		{http.MethodGet, "/bundles/{trust_domain}", s.getBundle, nil, false},
		{http.MethodPut, "/bundles/{trust_domain}", s.setBundle, dryRun, true},
		{http.MethodDelete, "/bundles/{trust_domain}", s.deleteBundle, append([]string{"mode"}, dryRun...), false},
		{http.MethodGet, "/federation", s.listRelationships, paging, false},
		{http.MethodPost, "/federation", s.createRelationship, dryRun, true},
		{http.MethodGet, "/federation/{trust_domain}", s.getRelationship, nil, false},
		{http.MethodPut, "/federation/{trust_domain}", s.setRelationship, dryRun, true},
		{http.MethodDelete, "/federation/{trust_domain}", s.deleteRelationship, dryRun, false},
		{http.MethodPost, "/federation/{trust_domain}/refresh", s.refresh, nil, false},
	}
}

// authorityRoutes are about what signs.
func (s *server) authorityRoutes() []route {
	return []route{
		{http.MethodGet, "/authorities", s.listAuthorities, nil, false},
		{http.MethodPost, "/authorities/{use}/prepare", s.prepare, append([]string{"key_type"}, dryRun...), false},
		{http.MethodPost, "/authorities/{use}/{id}/activate", s.activate, append([]string{"force"}, dryRun...), false},
		{http.MethodPost, "/authorities/{use}/{id}/taint", s.taint, dryRun, false},
		{http.MethodPost, "/authorities/{use}/{id}/revoke", s.revoke, dryRun, false},
	}
}

// clusterRoutes are about the members.
func (s *server) clusterRoutes() []route {
	return []route{
		{http.MethodGet, "/cluster", s.cluster, nil, false},
		{http.MethodGet, "/cluster/backup", s.backup, nil, false},
		{http.MethodPost, "/cluster/tokens", s.createJoinToken, dryRun, true},
		{http.MethodDelete, "/cluster/members/{member}", s.removeMember, append([]string{"compromised", "force"}, dryRun...), false},
		{http.MethodPost, "/cluster/rekey", s.rekey, dryRun, false},
		{http.MethodPost, "/cluster/transfer", s.transfer, append([]string{"to"}, dryRun...), false},
	}
}

// newRouter takes paths as they are written: an ID in one is escaped, and
// nothing is redirected.
func (s *server) newRouter() *mux.Router {
	router := mux.NewRouter().UseEncodedPath().SkipClean(true)
	router.NotFoundHandler = http.HandlerFunc(s.noRoute)
	router.MethodNotAllowedHandler = http.HandlerFunc(s.noMethod)
	for _, at := range s.routes() {
		router.Handle("/v1"+at.path, s.handle(at)).Methods(at.method)
	}
	return router
}

func (s *server) noRoute(w http.ResponseWriter, r *http.Request) {
	s.refuse(w, r, broker.Refuse(broker.NotFound, "there is no such resource: GET /v1/openapi.yaml describes all of them"))
}

func (s *server) noMethod(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		probe, match := *r, mux.RouteMatch{}
		probe.Method = method
		if s.router.Match(&probe, &match) && match.MatchErr == nil {
			allowed = append(allowed, method)
		}
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	s.refuse(w, r, broker.Refuse(methodNotAllowed, "%.20q is not understood here, only %s: GET /v1/openapi.yaml describes what each does", r.Method, strings.Join(allowed, ", ")))
}
