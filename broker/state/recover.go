package state

import (
	"bytes"
	"crypto/x509"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
)

// RecoverKind is the kind of the audit record of a recovery. It is no command:
// it is in no log, and a cluster that lives cannot be asked for it.
const RecoverKind = "recover"

// Recovery is how a state that was kept apart goes on after its cluster is
// gone.
type Recovery struct {
	// Live is our bundle as others hold it now. Nil if that is not known: then
	// nothing that the state has is believed to be out of date but its sequence.
	Live *federation.Bundle
	// NewTrust are authorities to sign from now on, as in Bootstrap; those of the
	// state, whose keys cannot or shall not be used, stay published until they
	// end. None: the state's own go on.
	NewTrust []ca.Authority
}

// Recover returns the state of a new cluster that has no members yet, made from
// v, and the record of it, with which the audit chain goes on. All members of
// the old cluster are removed ones, and what join tokens and duties it had is
// forgotten. Requests are remembered as before. That the key-encryption key is one
// that the old members knew is no reason to change it: whoever restores may ask.
//
// Our bundle is made so that whoever holds Live sees no step back: its sequence
// is Live's if it says the same, and else larger than both; what is in Live
// alone is published until it ends, without a private key, and what Live has
// not any more is gone. A state whose keys have all been replaced since is
// refused, with FailedPrecondition, unless there is NewTrust.
func (v *View) Recover(act broker.Act, r Recovery) (*View, AuditRecord, error) {
	act.At = act.At.UTC().Round(0) // as it is after it was written down
	d := v.draft(v.index+1, act)
	h, err := d.home()
	if err != nil {
		return nil, AuditRecord{}, err
	}
	for _, step := range []func(*draft, *home) error{r.check, r.authorities, r.published, dismiss, r.publish} {
		if err := step(d, h); err != nil {
			return nil, AuditRecord{}, err
		}
	}
	record := AuditRecord{
		Index: d.index, At: act.At, Actor: act.Actor, Cause: act.Cause, RequestID: act.RequestID,
		Kind: RecoverKind, Subject: homeShape.name, Fields: d.auditFields(),
	}
	record.Head = ChainHead(v.head, record.Statement())
	return &View{d.index, record.Head, d.sum, d.tables}, record, nil
}

// check refuses a live bundle that is not of this domain, as far as that shows.
func (r Recovery) check(_ *draft, h *home) error {
	if r.Live == nil {
		return nil
	}
	if r.Live.TrustDomain != h.TrustDomain {
		return broker.Refuse(broker.InvalidArgument, "the published bundle is of %s, the state of %s", r.Live.TrustDomain.Name(), h.TrustDomain.Name())
	}
	if !r.Live.Sequenced {
		return broker.Refuse(broker.InvalidArgument, "the published bundle has no spiffe_sequence: it is not what this domain published")
	}
	for _, cert := range r.Live.X509 {
		for _, uri := range cert.URIs {
			if uri.Scheme == "spiffe" && uri.Host != h.TrustDomain.Name() {
				return broker.Refuse(broker.InvalidArgument, "the published bundle has an X.509 authority of %s: it is not the bundle of %s", uri.Host, h.TrustDomain.Name())
			}
		}
	}
	return nil
}

// newer reports whether Live is what came after the state: then what it lacks
// was taken out since, and not put in.
func (r Recovery) newer(d *draft) bool {
	return r.Live != nil && r.Live.Sequence >= d.publication.get("").Sequence
}

// has reports whether a is in Live.
func (r Recovery) has(a *ca.Authority) bool {
	if r.Live == nil {
		return false
	}
	if a.Use == ca.X509 {
		for _, cert := range r.Live.X509 {
			if bytes.Equal(cert.Raw, a.Public) {
				return true
			}
		}
		return false
	}
	for _, key := range r.Live.JWT {
		if der, err := x509.MarshalPKIXPublicKey(key.Key); err == nil && key.ID == a.ID && bytes.Equal(der, a.Public) {
			return true
		}
	}
	return false
}

// authorities says what becomes of the state's authorities, and puts new ones
// beside them.
func (r Recovery) authorities(d *draft, h *home) error {
	d.change.Authorities = true
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		var signer *ca.Authority
		if len(r.NewTrust) == 0 {
			var err error
			if signer, err = r.signer(d, use); err != nil {
				return err
			}
		}
		for _, a := range d.authoritiesOf(use) {
			r.keep(d, h, a, signer)
		}
	}
	if len(r.NewTrust) == 0 {
		return nil
	}
	// The new keys are sealed with a key that no member ever had.
	if s := d.sealing.get(""); s != nil {
		d.sealing.drop(d, s)
	}
	d.answer(d.index)
	return r.begin(d, h)
}

// signer is the authority of a use that signs from now on: the one that did, or,
// if that has left the published bundle, the one after it, whose key is here too.
func (r Recovery) signer(d *draft, use ca.Use) (*ca.Authority, error) {
	var active *ca.Authority
	for _, status := range []ca.Status{ca.Active, ca.Prepared} {
		for _, a := range d.authoritiesOf(use) {
			if a.Status != status {
				continue
			}
			if status == ca.Active {
				active = a
			}
			switch {
			case r.Live == nil && status == ca.Active:
				return a, nil
			case r.has(a) && !a.Tainted && d.act.At.Before(a.NotAfter):
				return a, nil
			}
		}
	}
	if active == nil {
		return nil, broker.Refuse(broker.FailedPrecondition, "the state has no active %s authority", use)
	}
	return nil, broker.Refuse(broker.FailedPrecondition,
		"the backup's active %s authority %s is not in the published bundle, whose sequence is %d and the backup's %d: others do not trust what it signs; "+
			"restore a backup that was made after the keys turned, or begin with new keys (--new-trust)",
		use, active.ID, r.Live.Sequence, d.publication.get("").Sequence)
}

// keep makes one authority of the state what it is from now on. signer signs
// for its use; nil if the state's own do not sign any more.
func (r Recovery) keep(d *draft, h *home, a, signer *ca.Authority) {
	live := r.has(a)
	after := *a
	switch {
	case r.newer(d) && !live, signer == nil && !d.act.At.Before(a.NotAfter):
		d.authorities.drop(d, a)
		return
	case signer == nil:
		after.Status, after.Sealed, after.VouchesUntil = ca.Old, nil, a.NotAfter
		if a.Status != ca.Old {
			after.OldAt = d.act.At
		}
	case a == signer && a.Status == ca.Prepared:
		after.Status, after.ActivatedAt = ca.Active, d.act.At
	case a.Status == ca.Active && a != signer:
		after.Status, after.OldAt, after.VouchesUntil = ca.Old, d.act.At, a.NotAfter
	case a.Status == ca.Prepared && !live: // nobody is known to have seen it
		after.PreparedAt = d.act.At
		after.LargestHint, _ = h.hintInUse(d.act.At)
	}
	if !d.authorities.same(a, &after) {
		d.authorities.put(d, &after)
	}
}

// begin puts new authorities in. That they sign before they were published for
// long is what was asked for: nothing else can sign.
func (r Recovery) begin(d *draft, h *home) error {
	if err := (Bootstrap{Authorities: r.NewTrust}).validateStages(); err != nil {
		return broker.Refuse(broker.InvalidArgument, "%v", err)
	}
	for _, a := range r.NewTrust {
		if err := a.Validate(h.TrustDomain); err != nil {
			return broker.Refuse(broker.InvalidArgument, "%v", err)
		}
		if err := d.unheld(h, a); err != nil {
			return err
		}
		a.PreparedAt, a.ActivatedAt, a.OldAt, a.VouchesUntil = d.act.At, noTime, noTime, noTime
		a.LargestHint, _ = h.hintInUse(d.act.At)
		if a.Status == ca.Active {
			a.ActivatedAt = d.act.At
		}
		d.authorities.put(d, &a)
	}
	return nil
}

// published takes over what is in Live and not in the state: keys that came
// after it, and signed. How long a JWT key is needed, its bundle does not say:
// it stays as long as one of ours would at most.
func (r Recovery) published(d *draft, h *home) error {
	if !r.newer(d) {
		return nil
	}
	for _, cert := range r.Live.X509 {
		id, err := certificateID(cert)
		if err != nil {
			return broker.Refuse(broker.InvalidArgument, "the published bundle: %v", err)
		}
		if err := r.take(d, h, AppendAuthority{Use: ca.X509, ID: id, Public: cert.Raw, NotAfter: cert.NotAfter}); err != nil {
			return err
		}
	}
	for _, key := range r.Live.JWT {
		der, err := x509.MarshalPKIXPublicKey(key.Key)
		if err != nil {
			return broker.Refuse(broker.InvalidArgument, "the published bundle: JWT authority %.80q: %v", key.ID, err)
		}
		if err := r.take(d, h, AppendAuthority{Use: ca.JWT, ID: key.ID, Public: der, NotAfter: d.act.At.Add(h.Settings.RootTTL)}); err != nil {
			return err
		}
	}
	return nil
}

// take takes over one key, unless it is here already or has ended.
func (r Recovery) take(d *draft, h *home, c AppendAuthority) error {
	if d.authorities.get(authorityKey(c.Use, c.ID)) != nil || !d.act.At.Before(c.NotAfter) {
		return nil
	}
	if err := c.Validate(); err != nil {
		return broker.Refuse(broker.InvalidArgument, "the published bundle: %v", err)
	}
	return c.put(d, h)
}

// dismiss removes every member, and forgets who may join and who is alive.
func dismiss(d *draft, _ *home) error {
	var members []*Member
	for m := range d.members.from("") {
		members = append(members, m)
	}
	if d.removed.count()+len(members) > MaxRemoved {
		return broker.Refuse(broker.ResourceExhausted, "%d members have been removed already, the most is %d", d.removed.count(), MaxRemoved)
	}
	for _, m := range members {
		d.members.drop(d, m)
		d.removed.put(d, &Removed{ID: m.ID, Name: m.Name, At: d.act.At, Resealed: d.index})
	}
	var tokens []*JoinToken
	for t := range d.joinTokens.from("") {
		tokens = append(tokens, t)
	}
	for _, t := range tokens {
		d.joinTokens.drop(d, t)
	}
	if duties := d.duties.get(""); duties != nil {
		d.duties.drop(d, duties)
	}
	d.change.Members, d.change.Duties = true, true
	return nil
}

// publish makes our bundle anew, above everything that is known to have been
// published, unless it is to the letter what is.
func (r Recovery) publish(d *draft, h *home) error {
	last := d.publication.get("")
	b, err := d.ownBundle(h)
	if err != nil {
		return broker.Refuse(broker.InvalidArgument, "our own bundle: %v", err)
	}
	b.Sequence = last.Sequence
	if r.newer(d) {
		b.Sequence = r.Live.Sequence
	}
	if !r.newer(d) || !b.Equal(r.Live) {
		b.Sequence = nextSequence(b.Sequence, d.act.At)
	}
	next := &publication{Sequence: b.Sequence, UpdatedAt: d.act.At, UpdatedIndex: d.index}
	if b.Equal(last.bundle.Bundle) {
		next.UpdatedAt, next.UpdatedIndex = last.UpdatedAt, last.UpdatedIndex
	}
	if err := next.encode(b); err != nil {
		return broker.Refuse(broker.InvalidArgument, "%v", err)
	}
	d.held.release(last.bundle.Bundle)
	d.held.hold(b)
	if !d.publication.same(last, next) {
		d.publication.put(d, next)
	}
	d.change.Own = true
	return nil
}
