package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	pb "github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/tests/memdomain"
	"github.com/concord-id/concord/workload"
	"github.com/concord-id/concord/workload/api"
)

// everyCall are the calls of the Workload API, those of the WIT profile,
// reflection, and two that do not exist.
func everyCall(e *endpoint) map[string]func(context.Context) error {
	all := e.calls("aud", "a.b.c")
	all["FetchWITSVID"] = func(ctx context.Context) error { return first(e.client.FetchWITSVID(ctx, &pb.WITSVIDRequest{})) }
	all["FetchWITBundles"] = func(ctx context.Context) error {
		return first(e.client.FetchWITBundles(ctx, &pb.WITBundlesRequest{}))
	}
	all["reflection"] = func(ctx context.Context) error {
		_, err := services(ctx, e.conn)
		return err
	}
	for _, method := range []string{"/SpiffeWorkloadAPI/Nothing", "/no.Service/Method"} {
		all[method] = func(ctx context.Context) error {
			return e.conn.Invoke(ctx, method, &pb.X509SVIDRequest{}, &pb.X509SVIDResponse{})
		}
	}
	return all
}

// services asks the endpoint by reflection what it serves.
func services(ctx context.Context, conn *grpc.ClientConn) ([]string, error) {
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		return nil, err
	}
	request := &reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}
	if err := stream.Send(request); err != nil && err != io.EOF { // then Recv says why
		return nil, err
	}
	response, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range response.GetListServicesResponse().GetService() {
		names = append(names, s.Name)
	}
	return names, nil
}

func TestWE_6_WE_12_EveryCallWithoutTheHeaderIsRefused(t *testing.T) {
	e := newEndpoint(t, nil)
	e.Put(workload.Entry{SPIFFEID: e.ID("/a")})
	e.is("/a")
	for name, call := range everyCall(e) {
		for _, values := range [][]string{nil, {""}, {"false"}, {"True"}, {"TRUE"}, {"1"}, {"true", "true"}, {"true", "false"}} {
			t.Run(fmt.Sprintf("%s %q", name, values), func(t *testing.T) {
				ctx := t.Context()
				for _, v := range values {
					ctx = metadata.AppendToOutgoingContext(ctx, "workload.spiffe.io", v)
				}
				wantCode(t, call(ctx), codes.InvalidArgument)
			})
		}
	}
}

func TestWE_16_Reflection(t *testing.T) {
	e := newEndpoint(t, nil)
	names, err := services(header(t), e.conn)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(names, " "); !strings.Contains(got, "SpiffeWorkloadAPI") {
		t.Error(got)
	}
}

func TestWA_2_TheServiceIsTheSpecifications(t *testing.T) {
	e := newEndpoint(t, nil)
	stream, err := reflectionpb.NewServerReflectionClient(e.conn).ServerReflectionInfo(header(t))
	if err != nil {
		t.Fatal(err)
	}
	err = stream.Send(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "SpiffeWorkloadAPI"},
	})
	if err != nil {
		t.Fatal(err)
	}
	response, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var served descriptorpb.FileDescriptorProto
	if err := proto.Unmarshal(response.GetFileDescriptorResponse().FileDescriptorProto[0], &served); err != nil {
		t.Fatal(err)
	}
	if want := protodesc.ToFileDescriptorProto(pb.File_workload_proto); !proto.Equal(&served, want) {
		t.Error("the service that reflection shows is not the specification's")
	}
	if n := len(served.Service[0].Method); n != 7 {
		t.Errorf("%d methods", n)
	}
}

func TestWE_17_WA_27_WhatIsNotThereIsUnimplemented(t *testing.T) {
	e := newEndpoint(t, nil)
	for _, name := range []string{"FetchWITSVID", "FetchWITBundles", "/SpiffeWorkloadAPI/Nothing", "/no.Service/Method"} {
		t.Run(name, func(t *testing.T) { wantCode(t, everyCall(e)[name](header(t)), codes.Unimplemented) })
	}
}

func TestWA_7_JS_9_MandatoryFields(t *testing.T) {
	e := newEndpoint(t, nil)
	e.Put(workload.Entry{SPIFFEID: e.ID("/a")})
	e.is("/a")
	for name, request := range map[string]*pb.JWTSVIDRequest{
		"no audience":       {},
		"empty audience":    {Audience: []string{""}},
		"one empty of two":  {Audience: []string{"a", ""}},
		"too many":          {Audience: make([]string, 1000)},
		"ID_1_not an ID":    {Audience: []string{"a"}, SpiffeId: "billing"},
		"ID_12_dots":        {Audience: []string{"a"}, SpiffeId: "spiffe://acme.example/../a"},
		"ID_13_slash":       {Audience: []string{"a"}, SpiffeId: "spiffe://acme.example/a/"},
		"ID_7_upper case":   {Audience: []string{"a"}, SpiffeId: "spiffe://ACME.example/a"},
		"audience too long": {Audience: []string{strings.Repeat("a", 5000)}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := e.client.FetchJWTSVID(header(t), request)
			wantCode(t, err, codes.InvalidArgument)
		})
	}
	for name, request := range map[string]*pb.ValidateJWTSVIDRequest{
		"nothing": {}, "no token": {Audience: "a"}, "no audience": {Svid: "a.b.c"}, "not a token": {Audience: "a", Svid: "a.b.c"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := e.client.ValidateJWTSVID(header(t), request)
			wantCode(t, err, codes.InvalidArgument)
		})
	}
}

func TestWE_14_WA_14_WA_16_WA_21_NoIdentityIsPermissionDenied(t *testing.T) {
	e := newEndpoint(t, nil)
	e.Put(workload.Entry{SPIFFEID: e.ID("/a")})
	e.is("b", "c")
	for name, call := range e.calls("aud", "a.b.c") {
		t.Run(name, func(t *testing.T) {
			err := call(header(t))
			wantCode(t, err, codes.PermissionDenied)
			if !strings.Contains(err.Error(), "test:b, test:c") {
				t.Errorf("the refusal does not say what was observed: %v", err)
			}
		})
	}
	e.is("/a")
	for _, other := range []string{"spiffe://acme.example/b", "spiffe://bank.example/a"} {
		_, err := e.client.FetchJWTSVID(header(t), &pb.JWTSVIDRequest{Audience: []string{"aud"}, SpiffeId: other})
		wantCode(t, err, codes.PermissionDenied)
	}
}

func TestWE_13_NotReadyIsUnavailable(t *testing.T) {
	e := newEndpoint(t, nil)
	e.Put(workload.Entry{SPIFFEID: e.ID("/a")})
	e.is("/a")
	e.FailLedger(fmt.Errorf("no leader was heard for 10m0s: %w", ca.ErrNotReady))
	for name, call := range e.calls("aud", "a.b.c") {
		t.Run(name, func(t *testing.T) {
			err := call(header(t))
			wantCode(t, err, codes.Unavailable)
			if !strings.Contains(err.Error(), "no leader was heard") {
				t.Error(err)
			}
		})
	}
	e.FailLedger(nil)
	e.FailSigning(ca.ErrNotReady)
	for _, name := range []string{"FetchX509SVID", "FetchJWTSVID"} {
		t.Run("sealed "+name, func(t *testing.T) { wantCode(t, e.calls("aud", "")[name](header(t)), codes.Unavailable) })
	}
	e.FailSigning(errors.New("secret of the signer"))
	for _, name := range []string{"FetchX509SVID", "FetchJWTSVID"} {
		t.Run("broken "+name, func(t *testing.T) {
			err := e.calls("aud", "")[name](header(t))
			wantCode(t, err, codes.Internal)
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("an error that is not in the table is shown: %v", err)
			}
		})
	}
}

func TestWE_10_TheCallerThatCannotBeKnown(t *testing.T) {
	e := newEndpoint(t, nil)
	e.Put(workload.Entry{SPIFFEID: e.ID("/a")})
	e.is("/a")
	svid, err := e.client.FetchJWTSVID(header(t), &pb.JWTSVIDRequest{Audience: []string{"aud"}})
	if err != nil {
		t.Fatal(err)
	}
	lost := fmt.Errorf("process 7 has ended: %w", attest.ErrProcessLost)
	for name, c := range map[string]struct {
		attesting, gone error
		want            codes.Code
	}{
		"process ended before it was observed": {lost, lost, codes.PermissionDenied},
		"process ended before the answer":      {nil, lost, codes.PermissionDenied},
		"cannot be observed now":               {errors.New("too many open files"), nil, codes.Unavailable},
		"cannot be watched now":                {nil, errors.New("its connection is closed"), codes.Unavailable},
	} {
		e.fails(c.attesting, c.gone)
		for call, do := range e.calls("aud", svid.Svids[0].Svid) {
			t.Run(name+" "+call, func(t *testing.T) { wantCode(t, do(header(t)), c.want) })
		}
	}
	stranger := newEndpoint(t, func(o *api.Options) {
		o.Caller = func(context.Context) (attest.Process, bool) { return attest.Process{}, false }
	})
	for call, do := range stranger.calls("aud", "a.b.c") {
		t.Run("unknown "+call, func(t *testing.T) { wantCode(t, do(header(t)), codes.PermissionDenied) })
	}
}

func TestARefusalDoesNotGrowWithItsCaller(t *testing.T) {
	e := newEndpoint(t, nil)
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprint("supplementary_gid:", i))
	}
	e.is(many...)
	err := e.calls("aud", "")["FetchX509SVID"](header(t))
	wantCode(t, err, codes.PermissionDenied)
	if n := len(err.Error()); n > 2048 {
		t.Errorf("the refusal has %d bytes", n)
	}
	if want := memdomain.Selectors(many[0])[0].String(); !strings.Contains(err.Error(), want) {
		t.Errorf("%v", err)
	}
}

func TestWhatIsTooLargeIsRefused(t *testing.T) {
	e := newEndpoint(t, nil)
	e.Put(workload.Entry{SPIFFEID: e.ID("/a")})
	e.is("/a")
	_, err := e.client.ValidateJWTSVID(header(t), &pb.ValidateJWTSVIDRequest{Audience: "a", Svid: strings.Repeat(".", 10<<20)})
	wantCode(t, err, codes.ResourceExhausted)
	_, err = e.client.ValidateJWTSVID(header(t), &pb.ValidateJWTSVIDRequest{Audience: "a", Svid: strings.Repeat(".", 60<<10)})
	wantCode(t, err, codes.InvalidArgument)
	if err := e.calls("aud", "")["FetchX509SVID"](header(t)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
