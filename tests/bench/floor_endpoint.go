package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"time"
)

// selfSigned is a certificate for 127.0.0.1.
func selfSigned() (tls.Certificate, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool, nil
}

const documentBytes = 2048

// floorEndpoint: net/http serving fixed bytes over a warm TLS connection.
func floorEndpoint(ctx context.Context) (workloadUnderTest, error) {
	certificate, roots, err := selfSigned()
	if err != nil {
		return workloadUnderTest{}, err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}})
	if err != nil {
		return workloadUnderTest{}, err
	}
	document := make([]byte, documentBytes)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(document)
	})}
	go server.Serve(listener)
	get := warmGet(ctx, "https://"+listener.Addr().String()+"/", roots, "", http.StatusOK)
	return workloadUnderTest{get, server.Close}, nil
}

// warmGet returns a GET on a kept HTTP/1.1 connection.
func warmGet(ctx context.Context, url string, roots *x509.CertPool, etag string, want int) func() error {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, NextProtos: []string{"http/1.1"}}, DisableCompression: true}
	client := &http.Client{Transport: transport}
	return func() error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if etag != "" {
			request.Header.Set("If-None-Match", etag)
		}
		answer, err := client.Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != want {
			return fmt.Errorf("status %s, want %d", answer.Status, want)
		}
		_, err = io.Copy(io.Discard, answer.Body)
		return err
	}
}

// floorNotModified: net/http answering 304 with a fixed ETag.
func floorNotModified(ctx context.Context) (workloadUnderTest, error) {
	certificate, roots, err := selfSigned()
	if err != nil {
		return workloadUnderTest{}, err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}})
	if err != nil {
		return workloadUnderTest{}, err
	}
	const etag = `"1-0123456789abcdef"`
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", etag)
		if r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
	})}
	go server.Serve(listener)
	get := warmGet(ctx, "https://"+listener.Addr().String()+"/", roots, etag, http.StatusNotModified)
	return workloadUnderTest{get, server.Close}, nil
}
