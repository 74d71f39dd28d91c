package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	svidv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/svid/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/node"
	"github.com/concord-id/concord/federation"
)

// running is a real node: Raft on disk, every door open.
type running struct {
	node *node.Node
	dir  string
	api  *client.Client
}

func startNode(ctx context.Context, change func(*node.Config)) (*running, error) {
	dir, err := os.MkdirTemp("", "b")
	if err != nil {
		return nil, err
	}
	config := node.Defaults()
	config.TrustDomain, config.DataDir, config.NodeName, config.LogLevel = benchDomain.Name(), filepath.Join(dir, "d"), "n", "error"
	config.ListenAPI, config.ListenBundle, config.ListenRaft, config.ListenOps = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	if change != nil {
		change(&config)
	}
	n, err := node.Start(ctx, node.Options{Config: config, Version: "bench", Out: io.Discard, Log: os.Stderr})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &running{node: n, dir: dir, api: client.New(filepath.Join(config.DataDir, "admin.sock"), "bench")}, nil
}

func (r *running) socket(name string) string { return filepath.Join(r.dir, "d", name) }

func (r *running) stop() error { return errors.Join(r.node.Stop(), os.RemoveAll(r.dir)) }

// register makes every process of this user a workload that federates with a peer.
func (r *running) register(ctx context.Context) error {
	return r.api.Do(ctx, http.MethodPost, client.Path("entries"), nil, client.Entry{
		SPIFFEID: benchID.String(), Selectors: []string{fmt.Sprintf("unix:uid:%d", os.Getuid())}, FederatesWith: []string{"peer.example"},
	}, nil)
}

// dialAdmin connects to the SPIRE API, and stops the node with the connection.
func dialAdmin(ctx context.Context) (svidv1.SVIDClient, func() error, error) {
	r, err := startNode(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	conn, err := grpc.NewClient("unix://"+r.socket("admin.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, nil, errors.Join(err, r.stop())
	}
	return svidv1.NewSVIDClient(conn), func() error { return errors.Join(conn.Close(), r.stop()) }, nil
}

// oursX509Call: MintX509SVID of the SPIRE API over the admin socket.
func oursX509Call(ctx context.Context) (workloadUnderTest, error) {
	svids, closeAll, err := dialAdmin(ctx)
	if err != nil {
		return workloadUnderTest{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return workloadUnderTest{}, errors.Join(err, closeAll())
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: uris(benchID.URL())}, key)
	if err != nil {
		return workloadUnderTest{}, errors.Join(err, closeAll())
	}
	request := &svidv1.MintX509SVIDRequest{Csr: csr, Ttl: 3600}
	return workloadUnderTest{func() error {
		_, err := svids.MintX509SVID(ctx, request)
		return err
	}, closeAll}, nil
}

func uris[T any](one T) []T { return []T{one} }

// oursJWTCall: MintJWTSVID of the SPIRE API over the admin socket.
func oursJWTCall(ctx context.Context) (workloadUnderTest, error) {
	svids, closeAll, err := dialAdmin(ctx)
	if err != nil {
		return workloadUnderTest{}, err
	}
	request := &svidv1.MintJWTSVIDRequest{
		Id: &types.SPIFFEID{TrustDomain: benchDomain.Name(), Path: benchID.Path()}, Audience: []string{"spiffe://other.example/api"}, Ttl: 300,
	}
	return workloadUnderTest{func() error {
		_, err := svids.MintJWTSVID(ctx, request)
		return err
	}, closeAll}, nil
}

// endpointUnderTest is a node that serves its bundle with a certificate like the floor's.
func endpointUnderTest(ctx context.Context) (url string, roots *x509.CertPool, closeAll func() error, err error) {
	dir, err := os.MkdirTemp("", "b")
	if err != nil {
		return "", nil, nil, err
	}
	certificate, roots, err := selfSigned()
	if err != nil {
		return "", nil, nil, err
	}
	certFile, keyFile := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	if err := writePair(certificate, certFile, keyFile); err != nil {
		return "", nil, nil, err
	}
	r, err := startNode(ctx, func(c *node.Config) {
		c.BundleProfile, c.BundleCert, c.BundleKey = federation.HTTPSWeb, certFile, keyFile
	})
	if err != nil {
		return "", nil, nil, err
	}
	return "https://" + r.node.Addresses().Bundle + "/", roots, func() error { return errors.Join(r.stop(), os.RemoveAll(dir)) }, nil
}

func writePair(c tls.Certificate, certFile, keyFile string) error {
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}), 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600))
}

func oursEndpoint(ctx context.Context) (workloadUnderTest, error) {
	url, roots, closeAll, err := endpointUnderTest(ctx)
	if err != nil {
		return workloadUnderTest{}, err
	}
	return workloadUnderTest{warmGet(ctx, url, roots, "", http.StatusOK), closeAll}, nil
}

func oursNotModified(ctx context.Context) (workloadUnderTest, error) {
	url, roots, closeAll, err := endpointUnderTest(ctx)
	if err != nil {
		return workloadUnderTest{}, err
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	answer, err := client.Get(url)
	if err != nil {
		return workloadUnderTest{}, errors.Join(err, closeAll())
	}
	answer.Body.Close()
	client.CloseIdleConnections()
	return workloadUnderTest{warmGet(ctx, url, roots, answer.Header.Get("ETag"), http.StatusNotModified), closeAll}, nil
}
