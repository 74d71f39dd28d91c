package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"time"
)

const (
	floorConnections = 1000
	floorRequests    = 10_000
)

// floorPeers returns the share of a core that net/http needs for ten thousand
// conditional requests a minute, on a thousand connections that it keeps.
func floorPeers(ctx context.Context, address string, roots []byte) (float64, error) {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(roots)
	clients := make([]*http.Client, floorConnections)
	for i := range clients {
		clients[i] = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
		defer clients[i].CloseIdleConnections()
		if err := conditional(ctx, clients[i], address, i); err != nil {
			return 0, err
		}
	}
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		return 0, err
	}
	for i := range floorRequests {
		if err := conditional(ctx, clients[i%floorConnections], address, i); err != nil {
			return 0, err
		}
	}
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		return 0, err
	}
	busy := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
	return busy.Seconds() / 60, nil
}

func conditional(ctx context.Context, client *http.Client, address string, i int) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://%s/%d", address, i), nil)
	if err != nil {
		return err
	}
	request.Header.Set("If-None-Match", `"1-1"`)
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusNotModified {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	return nil
}
