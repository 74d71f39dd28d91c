package spireapi

import (
	"context"
	"time"

	svidv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/svid/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"

	"github.com/concord-id/concord/broker/registrar"
)

// svids is spire.api.server.svid.v1.SVID.
type svids struct {
	svidv1.UnsafeSVIDServer
	desk
}

func (s svids) MintX509SVID(ctx context.Context, req *svidv1.MintX509SVIDRequest) (*svidv1.MintX509SVIDResponse, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	svid, err := s.registrar.MintX509(ctx, who, registrar.MintX509{CSR: req.Csr, TTL: time.Duration(req.Ttl) * time.Second})
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return &svidv1.MintX509SVIDResponse{Svid: &types.X509SVID{
		Id:        writeID(svid.ID),
		CertChain: svid.Certificates,
		ExpiresAt: writeTime(svid.NotAfter),
	}}, nil
}

func (s svids) MintJWTSVID(ctx context.Context, req *svidv1.MintJWTSVIDRequest) (*svidv1.MintJWTSVIDResponse, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	id, err := readID("id", req.Id)
	if err != nil {
		return nil, s.err(ctx, err)
	}
	svid, err := s.registrar.MintJWT(ctx, who, registrar.MintJWT{ID: id, Audience: req.Audience, TTL: time.Duration(req.Ttl) * time.Second})
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return &svidv1.MintJWTSVIDResponse{Svid: &types.JWTSVID{
		Token:     svid.Token,
		Id:        writeID(svid.ID),
		IssuedAt:  writeTime(svid.IssuedAt),
		ExpiresAt: writeTime(svid.ExpiresAt),
	}}, nil
}

// MintWITSVID waits for WIT-SVIDs.
func (s svids) MintWITSVID(context.Context, *svidv1.MintWITSVIDRequest) (*svidv1.MintWITSVIDResponse, error) {
	return nil, later("MintWITSVID")
}

// BatchNewX509SVID is for agents, of which there are none but the nodes' own.
func (s svids) BatchNewX509SVID(context.Context, *svidv1.BatchNewX509SVIDRequest) (*svidv1.BatchNewX509SVIDResponse, error) {
	return nil, later("BatchNewX509SVID")
}

// NewJWTSVID is for agents, of which there are none but the nodes' own.
func (s svids) NewJWTSVID(context.Context, *svidv1.NewJWTSVIDRequest) (*svidv1.NewJWTSVIDResponse, error) {
	return nil, later("NewJWTSVID")
}

// BatchNewWITSVID is for agents, and waits for WIT-SVIDs.
func (s svids) BatchNewWITSVID(context.Context, *svidv1.BatchNewWITSVIDRequest) (*svidv1.BatchNewWITSVIDResponse, error) {
	return nil, later("BatchNewWITSVID")
}

// NewDownstreamX509CA is for downstream servers, which cannot attest yet.
func (s svids) NewDownstreamX509CA(context.Context, *svidv1.NewDownstreamX509CARequest) (*svidv1.NewDownstreamX509CAResponse, error) {
	return nil, later("NewDownstreamX509CA")
}
