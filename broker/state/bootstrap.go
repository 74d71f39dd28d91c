package state

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/ca"
)

// MaxClusterIDBytes bounds a cluster's ID.
const MaxClusterIDBytes = 255

// maxBootstrapAuthorities is one active and one prepared of each use.
const maxBootstrapAuthorities = 4

// Bootstrap makes the domain, once. Its first authorities are active at once;
// the next ones are published with the first bundle, so that every backup
// holds the keys that will be used next.
type Bootstrap struct {
	ClusterID   string
	TrustDomain spiffeid.TrustDomain
	Settings    Settings
	// Authorities are one active of each use, and at most one prepared of each.
	// Apply sets the times of their life.
	Authorities []ca.Authority
}

func (c Bootstrap) kind() kind      { return kindBootstrap }
func (c Bootstrap) subject() string { return homeShape.name }

func (c Bootstrap) fields(v visitor) Command {
	v.text(1, "cluster_id", &c.ClusterID)
	domain(v, 2, "trust_domain", &c.TrustDomain)
	v.group(3, "settings", func() { settingsFields(v, &c.Settings) })
	list(v, 4, "authorities", maxBootstrapAuthorities, &c.Authorities, authorityFields, func(a ca.Authority) string { return a.ID })
	return c
}

// Validate wants a cluster ID, a trust domain, valid settings, and exactly one
// active and at most one prepared authority of each use.
func (c Bootstrap) Validate() error {
	if c.ClusterID == "" || len(c.ClusterID) > MaxClusterIDBytes || !utf8.ValidString(c.ClusterID) {
		return fmt.Errorf("the cluster's ID %.40q is not UTF-8 of 1 to %d bytes", c.ClusterID, MaxClusterIDBytes)
	}
	if c.TrustDomain.IsZero() {
		return errors.New("the domain has no name")
	}
	if err := c.Settings.Validate(); err != nil {
		return err
	}
	for _, a := range c.Authorities {
		if err := a.Validate(c.TrustDomain); err != nil {
			return err
		}
		if a.Tainted {
			return fmt.Errorf("authority %s is tainted: a domain does not begin with it", a.ID)
		}
	}
	return c.validateStages()
}

func (c Bootstrap) validateStages() error {
	type stage struct {
		use    ca.Use
		status ca.Status
	}
	have := make(map[stage]int)
	for _, a := range c.Authorities {
		have[stage{a.Use, a.Status}]++
	}
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		active, prepared := have[stage{use, ca.Active}], have[stage{use, ca.Prepared}]
		if active != 1 || prepared > 1 || have[stage{use, ca.Old}] > 0 {
			return fmt.Errorf("a domain begins with one active and at most one prepared %s authority, not %d and %d", use, active, prepared)
		}
	}
	return nil
}

func (c Bootstrap) apply(d *draft) error {
	if h := d.domain.get(""); h != nil {
		return broker.Refuse(broker.AlreadyExists, "the trust domain %s exists already", h.TrustDomain.Name())
	}
	if c.TrustDomain.IsZero() {
		return broker.Refuse(broker.InvalidArgument, "the domain has no name")
	}
	if err := c.validateStages(); err != nil {
		return broker.Refuse(broker.InvalidArgument, "%v", err)
	}
	h := &home{Domain: Domain{ClusterID: c.ClusterID, TrustDomain: c.TrustDomain, CreatedAt: d.act.At, Settings: c.Settings}}
	d.domain.put(d, h)
	for _, a := range c.Authorities {
		a.PreparedAt, a.LargestHint = d.act.At, c.Settings.RefreshHint
		a.ActivatedAt, a.OldAt, a.VouchesUntil = noTime, noTime, noTime
		if a.Status == ca.Active {
			a.ActivatedAt = d.act.At
		}
		d.authorities.put(d, &a)
	}
	if err := d.publish(h); err != nil {
		return broker.Refuse(broker.InvalidArgument, "%v", err)
	}
	d.change.Settings, d.change.Authorities = true, true
	return nil
}
