package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
)

func nothingToClose() error { return nil }

// tbsBytes is about what a certificate's or a token's signed part has.
const tbsBytes = 512

// newCSR is a request as an agent sends it.
func newCSR() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
}

func checkCSR(der []byte) error {
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return err
	}
	return request.CheckSignature()
}

// signOnce is one P-256 signature over something of a certificate's size.
func signOnce() (func() error, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	text := make([]byte, tbsBytes)
	return func() error {
		digest := sha256.Sum256(text)
		_, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		return err
	}, nil
}

// floorX509: one CSR check and one P-256 signature.
func floorX509(context.Context) (workloadUnderTest, error) {
	csr, err := newCSR()
	if err != nil {
		return workloadUnderTest{}, err
	}
	sign, err := signOnce()
	if err != nil {
		return workloadUnderTest{}, err
	}
	return workloadUnderTest{func() error {
		if err := checkCSR(csr); err != nil {
			return err
		}
		return sign()
	}, nothingToClose}, nil
}

// floorJWT: one P-256 signature.
func floorJWT(context.Context) (workloadUnderTest, error) {
	sign, err := signOnce()
	return workloadUnderTest{sign, nothingToClose}, err
}
