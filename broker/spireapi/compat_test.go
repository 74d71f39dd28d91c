package spireapi_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/concord-id/concord/tests/memcluster"
)

// notThereYet are the methods that docs/spire-compat.md says answer
// Unimplemented.
func notThereYet(t *testing.T) map[string]bool {
	t.Helper()
	page, err := os.ReadFile("../../docs/spire-compat.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(page), "## Not there yet\n")
	if !ok {
		t.Fatal("docs/spire-compat.md has no section \"Not there yet\"")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`(/[A-Za-z0-9_.]+/[A-Za-z0-9]+)`").FindAllStringSubmatch(section, -1) {
		named[m[1]] = true
	}
	return named
}

// TestEveryMethodIsThereOrNamed calls every registered method with an empty
// request: one that answers Unimplemented is named in docs/spire-compat.md, and
// the page names no other.
func TestEveryMethodIsThereOrNamed(t *testing.T) {
	s := serve(t, memcluster.Options{})
	named := notThereYet(t)
	for service, info := range s.server.GetServiceInfo() {
		for _, m := range info.Methods {
			method := "/" + service + "/" + m.Name
			code := status.Code(call(t, s.conn, method, m.IsClientStream || m.IsServerStream))
			if (code == codes.Unimplemented) != named[method] {
				t.Errorf("%s answers %s; named in docs/spire-compat.md as not there yet: %v", method, code, named[method])
			}
			if code == codes.Unknown || code == codes.Internal {
				t.Errorf("%s answers an empty request with %s", method, code)
			}
			delete(named, method)
		}
	}
	if len(named) > 0 {
		t.Errorf("docs/spire-compat.md names methods that are not registered: %v", slices.Sorted(maps.Keys(named)))
	}
}

// call calls a method with an empty request and returns its first answer's
// error; nil if it answers.
func call(t *testing.T, conn *grpc.ClientConn, method string, stream bool) error {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if !stream {
		return conn.Invoke(ctx, method, &emptypb.Empty{}, &emptypb.Empty{})
	}
	calling, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		return err
	}
	if err := calling.SendMsg(&emptypb.Empty{}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := calling.CloseSend(); err != nil {
		return err
	}
	if err := calling.RecvMsg(&emptypb.Empty{}); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// TestEveryMethodAsksForARight calls every method as a caller without roles.
// Only what is public answers, and what is not there yet.
func TestEveryMethodAsksForARight(t *testing.T) {
	s := serve(t, memcluster.Options{})
	public := regexp.MustCompile(`^/grpc\.|/GetBundle$`)
	// These read their arguments first; an empty request has none.
	argument := regexp.MustCompile(`/(GetFederatedBundle|GetFederationRelationship|RefreshBundle|GetAgent|DeleteAgent|BanAgent|SetLogLevel|(Activate|Taint|Revoke)(X509|JWT)Authority)$`)
	// A batch without items does nothing.
	batch := regexp.MustCompile(`/Batch`)
	named := notThereYet(t)
	for service, info := range s.server.GetServiceInfo() {
		for _, m := range info.Methods {
			method := "/" + service + "/" + m.Name
			if public.MatchString(method) || named[method] || batch.MatchString(method) {
				continue
			}
			want := codes.PermissionDenied
			if argument.MatchString(method) {
				want = codes.InvalidArgument
			}
			err := s.conn.Invoke(as(t.Context(), "nobody"), method, &emptypb.Empty{}, &emptypb.Empty{})
			if status.Code(err) != want {
				t.Errorf("%s answers a caller without roles %v, want %s", method, err, want)
			}
			err = s.conn.Invoke(as(t.Context(), "stranger"), method, &emptypb.Empty{}, &emptypb.Empty{})
			if status.Code(err) != codes.Unauthenticated {
				t.Errorf("%s answers a caller that is not known %v", method, err)
			}
		}
	}
}

func TestReflectionListsEveryService(t *testing.T) {
	s := serve(t, memcluster.Options{})
	stream, err := grpc_reflection_v1.NewServerReflectionClient(s.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{},
	}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, service := range answer.GetListServicesResponse().GetService() {
		listed = append(listed, service.Name)
	}
	for _, want := range []string{"agent", "bundle", "debug", "entry", "localauthority", "logger", "svid", "trustdomain"} {
		if !slices.ContainsFunc(listed, func(name string) bool { return strings.HasPrefix(name, "spire.api.server."+want+".v1.") }) {
			t.Errorf("reflection does not list %s: %v", want, listed)
		}
	}
	if !slices.Contains(listed, "grpc.health.v1.Health") {
		t.Errorf("reflection does not list health: %v", listed)
	}
}
