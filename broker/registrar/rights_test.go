package registrar_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/tests/memcluster"
	"github.com/concord-id/concord/workload"
)

// verbs is every act with the roles that may do it. nil: everybody.
var verbs = map[string]struct {
	roles []broker.Role
	do    func(context.Context, *registrar.Registrar, broker.Caller) error
}{
	"CreateEntry": {admins, func(ctx ctx, r reg, who who) error { return second(r.CreateEntry(ctx, who, registrar.CreateEntry{})) }},
	"UpdateEntry": {admins, func(ctx ctx, r reg, who who) error { return second(r.UpdateEntry(ctx, who, registrar.UpdateEntry{})) }},
	"DeleteEntry": {admins, func(ctx ctx, r reg, who who) error { return second(r.DeleteEntry(ctx, who, registrar.DeleteEntry{})) }},
	"Entry":       {readers, func(ctx ctx, r reg, who who) error { return second(r.Entry(ctx, who, "x")) }},
	"Entries": {readers, func(ctx ctx, r reg, who who) error {
		return second(r.Entries(ctx, who, registrar.EntryFilter{}, registrar.Page{}))
	}},
	"CountEntries":  {readers, func(ctx ctx, r reg, who who) error { return second(r.CountEntries(ctx, who, registrar.EntryFilter{})) }},
	"OwnBundle":     {nil, func(ctx ctx, r reg, who who) error { return second(r.OwnBundle(ctx, who)) }},
	"Bundle":        {readers, func(ctx ctx, r reg, who who) error { return second(r.Bundle(ctx, who, domain("b.example"))) }},
	"Bundles":       {readers, func(ctx ctx, r reg, who who) error { return second(r.Bundles(ctx, who, registrar.Page{})) }},
	"CountBundles":  {readers, func(ctx ctx, r reg, who who) error { return second(r.CountBundles(ctx, who)) }},
	"SetBundle":     {admins, func(ctx ctx, r reg, who who) error { return second(r.SetBundle(ctx, who, registrar.SetBundle{})) }},
	"AppendBundle":  {admins, func(ctx ctx, r reg, who who) error { return second(r.AppendBundle(ctx, who, registrar.AppendBundle{})) }},
	"DeleteBundle":  {admins, func(ctx ctx, r reg, who who) error { return second(r.DeleteBundle(ctx, who, registrar.DeleteBundle{})) }},
	"Relationship":  {readers, func(ctx ctx, r reg, who who) error { return second(r.Relationship(ctx, who, domain("b.example"))) }},
	"Relationships": {readers, func(ctx ctx, r reg, who who) error { return second(r.Relationships(ctx, who, registrar.Page{})) }},
	"SetRelationship": {admins, func(ctx ctx, r reg, who who) error {
		return second(r.SetRelationship(ctx, who, registrar.SetRelationship{}))
	}},
	"DeleteRelationship": {admins, func(ctx ctx, r reg, who who) error {
		return second(r.DeleteRelationship(ctx, who, registrar.DeleteRelationship{}))
	}},
	"Refresh":     {admins, func(ctx ctx, r reg, who who) error { return second(r.Refresh(ctx, who, domain("b.example"))) }},
	"Authorities": {readers, func(ctx ctx, r reg, who who) error { return second(r.Authorities(ctx, who, ca.X509)) }},
	"Readiness":   {readers, func(ctx ctx, r reg, who who) error { return second(r.Readiness(ctx, who, ca.X509)) }},
	"PrepareAuthority": {turners, func(ctx ctx, r reg, who who) error {
		return second(r.PrepareAuthority(ctx, who, registrar.PrepareAuthority{}))
	}},
	"ActivateAuthority": {turners, func(ctx ctx, r reg, who who) error {
		return second(r.ActivateAuthority(ctx, who, registrar.ChangeAuthority{}, false))
	}},
	"TaintAuthority": {turners, func(ctx ctx, r reg, who who) error {
		return second(r.TaintAuthority(ctx, who, registrar.ChangeAuthority{}))
	}},
	"RemoveAuthority": {turners, func(ctx ctx, r reg, who who) error {
		return second(r.RemoveAuthority(ctx, who, registrar.ChangeAuthority{}, true))
	}},
	"RevokeAuthority": {admins, func(ctx ctx, r reg, who who) error {
		return second(r.RevokeAuthority(ctx, who, registrar.ChangeAuthority{}))
	}},
	"Agent": {readers, func(ctx ctx, r reg, who who) error {
		return second(r.Agent(ctx, who, workload.AgentAlias(domain(acme))))
	}},
	"Agents": {readers, func(ctx ctx, r reg, who who) error {
		return second(r.Agents(ctx, who, registrar.AgentFilter{}, registrar.Page{}))
	}},
	"CountAgents":           {readers, func(ctx ctx, r reg, who who) error { return second(r.CountAgents(ctx, who, registrar.AgentFilter{})) }},
	"BanAgent":              {admins, func(ctx ctx, r reg, who who) error { return second(r.BanAgent(ctx, who, registrar.ChangeAgent{})) }},
	"DeleteAgent":           {admins, func(ctx ctx, r reg, who who) error { return second(r.DeleteAgent(ctx, who, registrar.ChangeAgent{})) }},
	"MintX509":              {admins, func(ctx ctx, r reg, who who) error { return second(r.MintX509(ctx, who, registrar.MintX509{})) }},
	"MintJWT":               {admins, func(ctx ctx, r reg, who who) error { return second(r.MintJWT(ctx, who, registrar.MintJWT{})) }},
	"Settings":              {readers, func(ctx ctx, r reg, who who) error { return second(r.Settings(ctx, who)) }},
	"PutSettings":           {turners, func(ctx ctx, r reg, who who) error { return second(r.PutSettings(ctx, who, registrar.PutSettings{})) }},
	"Backup":                {admins, func(ctx ctx, r reg, who who) error { return second(r.Backup(ctx, who)) }},
	"Status":                {readers, func(ctx ctx, r reg, who who) error { return second(r.Status(ctx, who)) }},
	"Audit":                 {readers, func(ctx ctx, r reg, who who) error { return second(r.Audit(ctx, who, registrar.AuditFilter{})) }},
	"VerifyAudit":           {readers, func(ctx ctx, r reg, who who) error { return second(r.VerifyAudit(ctx, who)) }},
	"LogLevel":              {readers, func(ctx ctx, r reg, who who) error { return second(r.LogLevel(ctx, who)) }},
	"MaySetLogLevel":        {admins, func(_ ctx, r reg, who who) error { return r.MaySetLogLevel(who) }},
	"SetLogLevel":           {admins, func(ctx ctx, r reg, who who) error { return second(r.SetLogLevel(ctx, who, slog.LevelInfo)) }},
	"ResetLogLevel":         {admins, func(ctx ctx, r reg, who who) error { return second(r.ResetLogLevel(ctx, who)) }},
	"OwnBundleAndAuthority": {nil, func(ctx ctx, r reg, who who) error { _, _, err := r.OwnBundleAndAuthorities(ctx, who); return err }},
}

type (
	ctx = context.Context
	reg = *registrar.Registrar
	who = broker.Caller
)

var (
	admins  = []broker.Role{broker.RoleAdmin}
	turners = []broker.Role{broker.RoleAdmin, broker.RoleNode}
	readers = []broker.Role{broker.RoleAdmin, broker.RoleNode, broker.RoleReader}
)

func second[T any](_ T, err error) error { return err }

// TestEachRoleByEachVerb shows that nothing is done, and nothing is told, for a
// caller without the right (RELIABILITY §1 row 21).
func TestEachRoleByEachVerb(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	for name, verb := range verbs {
		for _, who := range []broker.Caller{memcluster.Admin, memcluster.Reader, memcluster.Node, memcluster.Nobody} {
			t.Run(name+" by "+who.Name, func(t *testing.T) {
				err := verb.do(t.Context(), c.Registrar, who)
				allowed := verb.roles == nil || slices.ContainsFunc(verb.roles, who.Has)
				if denied := broker.CodeOf(err) == broker.PermissionDenied; denied == allowed {
					t.Errorf("answered %v; allowed: %v", err, allowed)
				}
			})
		}
	}
}

func TestBeforeTheDomainIsSetUpEveryWriteIsUnavailable(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{Unfounded: true})
	if _, err := c.Registrar.Status(t.Context(), memcluster.Reader); err != nil {
		t.Errorf("status: %v", err)
	}
	if c.Registrar.Serving() {
		t.Error("a node without a domain says that it serves")
	}
	for _, name := range []string{"OwnBundle", "CreateEntry", "UpdateEntry", "Settings", "PutSettings", "MintX509", "MintJWT", "Readiness"} {
		wantCode(t, verbs[name].do(t.Context(), c.Registrar, memcluster.Admin), broker.Unavailable)
	}
}
