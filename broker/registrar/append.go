package registrar

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
)

// AppendBundle asks for keys that this cluster does not hold to be published in
// our own bundle: of a server that ran this trust domain before, or runs beside
// it. Whatever they sign is then an identity of ours.
type AppendBundle struct {
	X509   []*x509.Certificate
	JWT    []ForeignJWTKey
	DryRun bool
}

// ForeignJWTKey is a key whose private half is not in this cluster.
type ForeignJWTKey struct {
	ID       string // the kid
	Key      crypto.PublicKey
	NotAfter time.Time // when it leaves our bundle; zero: not before it is revoked
}

// AppendBundle publishes keys in our own bundle. Those that are published
// already are left as they are. Each is a change of its own in the audit trail;
// all are tried together first, so that mostly all or none are published.
func (r *Registrar) AppendBundle(ctx context.Context, who broker.Caller, in AppendBundle) (Outcome[federation.Published], error) {
	out := Outcome[federation.Published]{DryRun: in.DryRun}
	if err := may(who, "append to our bundle", broker.RoleAdmin); err != nil {
		return out, err
	}
	if _, err := r.domain(); err != nil {
		return out, err
	}
	commands, err := in.commands()
	if err != nil {
		return out, invalid(err)
	}
	view := r.parts.Ledger.View()
	out.Before, out.Index = view.Own(), view.Index()
	acts := make([]broker.Act, len(commands))
	for i, c := range commands {
		if acts[i], err = act(who, "append bundle", c); err != nil {
			return out, err
		}
		if view, err = try(view, acts[i], c); err != nil {
			return out, err
		}
	}
	for i, c := range commands {
		if in.DryRun {
			break
		}
		if view, out.Index, err = r.commit(ctx, acts[i], c); err != nil {
			return out, err
		}
	}
	out.After = view.Own()
	return out, nil
}

func (in AppendBundle) commands() ([]state.AppendAuthority, error) {
	var out []state.AppendAuthority
	for _, cert := range in.X509 {
		id := hex.EncodeToString(cert.SubjectKeyId)
		if id == "" {
			var err error
			if id, err = ca.KeyID(cert.PublicKey); err != nil {
				return nil, err
			}
		}
		out = append(out, state.AppendAuthority{Use: ca.X509, ID: id, Public: cert.Raw, NotAfter: cert.NotAfter.UTC()})
	}
	for _, k := range in.JWT {
		der, err := x509.MarshalPKIXPublicKey(k.Key)
		if err != nil {
			return nil, fmt.Errorf("JWT authority %.80q: %w", k.ID, err)
		}
		if k.NotAfter.IsZero() {
			k.NotAfter = endless
		}
		out = append(out, state.AppendAuthority{Use: ca.JWT, ID: k.ID, Public: der, NotAfter: k.NotAfter.UTC()})
	}
	if len(out) == 0 {
		return nil, broker.Refuse(broker.InvalidArgument, "there are no authorities to append: give at least one")
	}
	return out, nil
}

// endless is when a key leaves that has no end of its own.
var endless = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
