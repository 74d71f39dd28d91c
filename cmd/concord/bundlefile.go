package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/federation"
)

// maxFileBytes bounds a file that is read: a bundle, a CSR, an SVID.
const maxFileBytes = 1 << 20

// readFile reads a file that a person names; "-" is standard input.
func readFile(c *cobra.Command, name string) ([]byte, error) {
	in := c.InOrStdin()
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxFileBytes+1))
	if err == nil && len(text) > maxFileBytes {
		err = fmt.Errorf("%s has more than %d bytes", name, maxFileBytes)
	}
	return text, err
}

// readBundleFile reads a SPIFFE document, or PEM certificates, as a document.
func readBundleFile(c *cobra.Command, name, trustDomain string) (json.RawMessage, error) {
	td, err := spiffeid.TrustDomainFromString(trustDomain)
	if err != nil {
		return nil, misused("%q is not the name of a trust domain: %v", trustDomain, err)
	}
	text, err := readFile(c, name)
	if err != nil {
		return nil, fmt.Errorf("read the bundle: %w", err)
	}
	if !bytes.Contains(text, []byte("-----BEGIN")) {
		if _, _, err := federation.Parse(td, text); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return text, nil
	}
	b, err := federation.ParsePEM(td, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b.Marshal()
}
