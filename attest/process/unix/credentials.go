package unix

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/concord-id/concord/attest"
)

// authType is what AuthInfo and the credentials call themselves.
const authType = "unix-peer"

// AuthInfo is what gRPC knows of a connection that a Listener accepted.
type AuthInfo struct {
	credentials.CommonAuthInfo
	Process attest.Process
}

// AuthType returns "unix-peer".
func (AuthInfo) AuthType() string { return authType }

// ProcessOf returns the process that called, false if the call did not come
// over a connection with Credentials.
func ProcessOf(ctx context.Context) (attest.Process, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return attest.Process{}, false
	}
	info, ok := p.AuthInfo.(AuthInfo)
	return info.Process, ok
}

// Credentials returns the transport credentials of a gRPC server on a Listener.
// There is no TLS and nothing is exchanged (Workload Endpoint §3.1, §5): the
// kernel vouches for the peer. A connection may be wrapped, if the wrapper
// still has Conn's Process method; the descriptors live until it is closed.
func Credentials() credentials.TransportCredentials { return serverCredentials{} }

type serverCredentials struct{}

func (serverCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	known, ok := conn.(interface{ Process() attest.Process })
	if !ok {
		return nil, nil, errors.New("the connection was not accepted by a unix.Listener: its peer is unknown")
	}
	return conn, AuthInfo{
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
		Process:        known.Process(),
	}, nil
}

func (serverCredentials) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials are a server's: dial with insecure credentials")
}

func (serverCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: authType}
}

func (c serverCredentials) Clone() credentials.TransportCredentials { return c }

func (serverCredentials) OverrideServerName(string) error { return nil }
