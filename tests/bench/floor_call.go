package main

import (
	"context"
	"net"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The floor of a call is a bare unary call over a unix socket, with messages
// of about the size of ours, whose handler does the work of the floor below.

const (
	bareMethod    = "/floor.Bare/Call"
	svidBytes     = 1500 // leaf and intermediate
	tokenBytes    = 450
	askTokenBytes = 80
)

func bareService(handle func() error, answerBytes int) *grpc.ServiceDesc {
	answer := wrapperspb.Bytes(make([]byte, answerBytes))
	return &grpc.ServiceDesc{
		ServiceName: "floor.Bare",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Call", Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var ask wrapperspb.BytesValue
			if err := decode(&ask); err != nil {
				return nil, err
			}
			return answer, handle()
		}}},
	}
}

// bareCall starts a server and a client of it.
func bareCall(ctx context.Context, work workloadUnderTest, ask []byte, answerBytes int) (workloadUnderTest, error) {
	dir, err := os.MkdirTemp("", "b")
	if err != nil {
		return workloadUnderTest{}, err
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		return workloadUnderTest{}, err
	}
	server := grpc.NewServer()
	server.RegisterService(bareService(work.once, answerBytes), nil)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("unix://"+listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return workloadUnderTest{}, err
	}
	request := wrapperspb.Bytes(ask)
	return workloadUnderTest{
		once: func() error { return conn.Invoke(ctx, bareMethod, request, new(wrapperspb.BytesValue)) },
		close: func() error {
			conn.Close()
			server.Stop()
			os.RemoveAll(dir)
			return <-served
		},
	}, nil
}

func floorX509Call(ctx context.Context) (workloadUnderTest, error) {
	work, err := floorX509(ctx)
	if err != nil {
		return workloadUnderTest{}, err
	}
	csr, err := newCSR()
	if err != nil {
		return workloadUnderTest{}, err
	}
	return bareCall(ctx, work, csr, svidBytes)
}

func floorJWTCall(ctx context.Context) (workloadUnderTest, error) {
	work, err := floorJWT(ctx)
	if err != nil {
		return workloadUnderTest{}, err
	}
	return bareCall(ctx, work, make([]byte, askTokenBytes), tokenBytes)
}
