package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// pki names the key material of one control plane, all of it made at start.
type pki struct {
	caPEM             []byte
	caFile            string
	servingCertFile   string
	servingKeyFile    string
	serviceAccountKey string
}

// newPKI makes a certificate authority that signs one serving certificate for
// the loopback address, and a key for service account tokens. The authority's
// own key is never written: nothing else will be signed.
func newPKI(dir string) (*pki, error) {
	p := &pki{
		caFile:            filepath.Join(dir, "ca.crt"),
		servingCertFile:   filepath.Join(dir, "apiserver.crt"),
		servingKeyFile:    filepath.Join(dir, "apiserver.key"),
		serviceAccountKey: filepath.Join(dir, "service-account.key"),
	}
	caKey, err := newKey()
	if err != nil {
		return nil, err
	}
	ca := certificate(1, "greffier test authority")
	ca.IsCA = true
	ca.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return nil, fmt.Errorf("sign the test authority: %w", err)
	}
	servingKey, err := newKey()
	if err != nil {
		return nil, err
	}
	serving := certificate(2, "kube-apiserver")
	serving.KeyUsage = x509.KeyUsageDigitalSignature
	serving.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	serving.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	serving.DNSNames = []string{"localhost", "kubernetes", "kubernetes.default.svc"}
	servingDER, err := x509.CreateCertificate(rand.Reader, serving, ca, servingKey.Public(), caKey)
	if err != nil {
		return nil, fmt.Errorf("sign the serving certificate: %w", err)
	}
	serviceAccountKey, err := newKey()
	if err != nil {
		return nil, err
	}
	p.caPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	if err := writeAll(
		file{p.caFile, p.caPEM},
		file{p.servingCertFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: servingDER})},
	); err != nil {
		return nil, err
	}
	if err := writeKey(p.servingKeyFile, servingKey); err != nil {
		return nil, err
	}
	return p, writeKey(p.serviceAccountKey, serviceAccountKey)
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return key, nil
}

func certificate(serial int64, name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber:          big.NewInt(serial),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-time.Hour), // Tests may set clocks back.
		NotAfter:              now.AddDate(1, 0, 0),
		BasicConstraintsValid: true,
	}
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return writeAll(file{path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})})
}

// file is a file to be written; only the owner may read it.
type file struct {
	path    string
	content []byte
}

func writeAll(files ...file) error {
	for _, f := range files {
		if err := os.WriteFile(f.path, f.content, 0o600); err != nil {
			return fmt.Errorf("write %s: %w", f.path, err)
		}
	}
	return nil
}
