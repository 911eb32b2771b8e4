package config_test

import (
	"os"
	"testing"

	"github.com/kuranty/kuranty/internal/config"
)

func TestSample(t *testing.T) {
	res, err := config.Load(config.Source{File: "c.json", Text: []byte(`{"allow_subscribe_for_client": true,
 "api_key": "k", "token_hmac_secret_key": "s", "admin": true, "admin_password": "p", "admin_secret": "as", "allowed_origins": ["http://localhost"],
 "port": "8001", "namespaces":[{"name":"chat","presence":true,"history_size":10,"history_ttl":"60s"}]}`), Flags: [][2]string{{"http_server.port", "0"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range res.Notes {
		t.Log(n)
	}
	_ = res.Show(os.Stderr, true)
}
