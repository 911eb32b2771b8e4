package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
)

// LoadPEM returns the PEM text that value is, that value is the base64 of, or that is
// in the file value names.
func LoadPEM(value string) ([]byte, error) {
	if strings.Contains(value, "-----BEGIN") {
		return []byte(value), nil
	}
	if b, err := base64.StdEncoding.DecodeString(value); err == nil && strings.Contains(string(b), "-----BEGIN") {
		return b, nil
	}
	b, err := os.ReadFile(value)
	if err != nil {
		// The value may be a mangled key, so it is not repeated.
		return nil, errors.New("neither PEM text, nor base64 of it, nor the name of a readable file")
	}
	return b, nil
}

// loadPublicKey returns the public key that value is or names, as a *rsa.PublicKey,
// *ecdsa.PublicKey or ed25519.PublicKey.
func loadPublicKey(value string) (any, error) {
	text, err := LoadPEM(value)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM block")
	}
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	}
	return nil, fmt.Errorf("the PEM block is a %q, not a public key", block.Type)
}

// fits tells whether public verifies signatures of algorithm alg (RFC 7518 §3.1,
// RFC 8037 §3.1).
func fits(public any, alg string) bool {
	switch public := public.(type) {
	case *rsa.PublicKey:
		switch alg {
		case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
			return true
		}
	case *ecdsa.PublicKey:
		switch public.Curve.Params().BitSize {
		case 256:
			return alg == "ES256"
		case 384:
			return alg == "ES384"
		case 521:
			return alg == "ES512"
		}
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}
