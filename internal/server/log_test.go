package server_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/server"
)

func TestS6_LogHidesSecrets(t *testing.T) {
	const (
		known   = `s3cr"et\of the operator`
		token   = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.AbCdEf_-123"
		visible = "channel chat:42 of user 42, keys client.token.hmac_secret_key"
	)
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		log := server.NewLogger(&out, format, "debug", []string{known, "short"})
		log.Info("with the secret "+known, "token", "plain", "password", "plain", "Authorization", "plain")
		log.With("cookie", "plain").Warn("token " + token)
		log.WithGroup("g").Error("cut short", "error", errors.New("bad token eyJhbGciOiJIUzI1NiJ9.eyJzd"), slog.Group("h", "api_key", "plain"))
		log.Debug("GET /v1/ws?a=1&token=plain&b=2 and /api?api_key=plain", "header", "Authorization: apikey plain")
		log.Info("bearer", "value", "Bearer plain")
		log.Info(visible, "short", "a short story")
		got := out.String()
		for _, secret := range []string{"s3cr", "of the operator", "plain", "eyJ", "AbCdEf"} {
			if strings.Contains(got, secret) {
				t.Errorf("%s: %q is visible in\n%s", format, secret, got)
			}
		}
		for _, word := range []string{visible, "a short story", "a=1", "b=2", "cut short"} {
			if !strings.Contains(got, word) {
				t.Errorf("%s: %q is not visible in\n%s", format, word, got)
			}
		}
	}
}

func TestLogLevels(t *testing.T) {
	for level, want := range map[string]string{
		"trace": "diwe", "debug": "diwe", "info": "iwe", "": "iwe", "warn": "we", "error": "e", "fatal": "", "none": "",
	} {
		var out bytes.Buffer
		log := server.NewLogger(&out, "json", level, nil)
		log.Debug("d")
		log.Info("i")
		log.Warn("w")
		log.Error("e")
		var got strings.Builder
		for line := range strings.Lines(out.String()) {
			_, rest, _ := strings.Cut(line, `"msg":"`)
			got.WriteString(rest[:1])
		}
		if got.String() != want {
			t.Errorf("level %q logs %q, want %q", level, got.String(), want)
		}
	}
}
