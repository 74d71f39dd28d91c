package spireapi

import (
	"context"
	"crypto/x509"
	"math"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	debugv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/debug/v1"
)

// debugging is spire.api.server.debug.v1.Debug.
type debugging struct {
	debugv1.UnsafeDebugServer
	desk
}

func (s debugging) GetInfo(ctx context.Context, _ *debugv1.GetInfoRequest) (*debugv1.GetInfoResponse, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	status, err := s.registrar.Status(ctx, who)
	if err != nil {
		return nil, s.err(ctx, err)
	}
	resp := &debugv1.GetInfoResponse{
		Uptime:                int32(min(time.Since(status.Node.StartedAt)/time.Second, math.MaxInt32)),
		AgentsCount:           int32(status.Agents),
		FederatedBundlesCount: int32(status.Bundles),
		EntriesCount:          int32(status.Entries),
	}
	for _, der := range status.Node.ServerSVID {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, s.err(ctx, err)
		}
		shown := &debugv1.GetInfoResponse_Cert{ExpiresAt: cert.NotAfter.Unix(), Subject: cert.Subject.String()}
		if id, err := x509svid.IDFromCert(cert); err == nil {
			shown.Id = writeID(id)
		}
		resp.SvidChain = append(resp.SvidChain, shown)
	}
	return resp, nil
}
