package server_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/kuranty/kuranty/internal/server"
	"github.com/kuranty/kuranty/internal/servertest"
)

func TestS1_TLS(t *testing.T) {
	cert, key := servertest.Certificate(t)
	in := servertest.Start(t, servertest.Config(chat), servertest.Flag("http_server.tls.enabled", "true"),
		servertest.Flag("http_server.tls.cert_pem", cert), servertest.Flag("http_server.tls.key_pem", key))
	if !strings.HasPrefix(in.URL, "https://") || !strings.HasPrefix(in.WSURL, "wss://") {
		t.Fatalf("addresses %s and %s", in.URL, in.WSURL)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(cert))
	https := func(newest uint16) *http.Client {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: newest}}
		t.Cleanup(tr.CloseIdleConnections)
		return &http.Client{Transport: tr}
	}
	resp, err := https(0).Get(in.URL + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("readyz: %d", resp.StatusCode)
	}
	if resp, err := https(tls.VersionTLS11).Get(in.URL + "/readyz"); err == nil {
		_ = resp.Body.Close()
		t.Error("TLS 1.1 was accepted")
	}
	conn, _, err := websocket.Dial(t.Context(), in.WSURL, &websocket.DialOptions{HTTPClient: https(0)})
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, conn: conn}
	if got := p.call(`{"id":1,"connect":{"token":"` + in.Token("42") + `"}}`); !strings.Contains(got, `"client":`) {
		t.Errorf("connect: %s", got)
	}
	p.leave()
}

func TestListenerThatOthersReachIsPointedOut(t *testing.T) {
	in := servertest.Start(t, servertest.Flag("http_server.address", "0.0.0.0"))
	if !strings.Contains(in.Log(), "it has no TLS") {
		t.Errorf("not said:\n%s", in.Log())
	}
	if strings.Contains(servertest.Start(t).Log(), "it has no TLS") {
		t.Error("said on loopback too")
	}
}

func TestBrokenCertificateIsNamed(t *testing.T) {
	cert, _ := servertest.Certificate(t)
	_, other := servertest.Certificate(t)
	res := load(t, "", t.TempDir())
	res.Config.HTTPServer.TLS.Enabled = true
	res.Config.HTTPServer.TLS.CertPEM, res.Config.HTTPServer.TLS.KeyPEM = cert, other
	_, err := server.New(res, server.Options{})
	if err == nil || !strings.Contains(err.Error(), "http_server.tls") || strings.Contains(err.Error(), "BEGIN") {
		t.Errorf("error = %v", err)
	}
}
