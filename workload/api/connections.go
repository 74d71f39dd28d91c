package api

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"

	"google.golang.org/grpc/credentials"
)

// Descriptors that the connections of the endpoint leave to the rest of the
// process, and how many a connection holds: the socket and its peer's process.
const (
	spareDescriptors         = 1024
	descriptorsPerConnection = 2
	mostConnections          = 16384
)

// defaultConnections is how many connections the process has descriptors for.
func defaultConnections() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return spareDescriptors
	}
	free := (int64(min(limit.Cur, 1<<20)) - spareDescriptors) / descriptorsPerConnection
	return int(min(max(free, spareDescriptors/8), mostConnections))
}

// bounded refuses connections past a number, so that no crowd at this endpoint
// takes the descriptors that the rest of the process needs.
type bounded struct {
	credentials.TransportCredentials
	open chan struct{} // one for each connection
}

func newBounded(inner credentials.TransportCredentials, most int) *bounded {
	return &bounded{inner, make(chan struct{}, most)}
}

func (b *bounded) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	select {
	case b.open <- struct{}{}:
	default:
		return nil, nil, fmt.Errorf("%d connections are open already", cap(b.open))
	}
	conn, info, err := b.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		<-b.open
		return nil, nil, err
	}
	return &counted{Conn: conn, closed: sync.OnceFunc(func() { <-b.open })}, info, nil
}

func (b *bounded) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return b.TransportCredentials.ClientHandshake(ctx, authority, raw)
}

func (b *bounded) Clone() credentials.TransportCredentials {
	return &bounded{b.TransportCredentials.Clone(), b.open}
}

// counted is a connection that gives its place back when it is closed.
type counted struct {
	net.Conn
	closed func()
}

func (c *counted) Close() error {
	defer c.closed()
	return c.Conn.Close()
}
