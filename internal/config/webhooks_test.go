package config_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/internal/config"
)

// The defaults are those of spec/webhooks.md §6.
func TestWebhooksByDefault(t *testing.T) {
	want := config.Webhooks{
		Enabled: true, TimeoutMS: 15000, ConnectTimeoutMS: 5000, SenderSlots: 500, FirstAttemptReserve: 0.25,
		RetrySchedule: []int{5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400}, RetryJitter: 0.1, MaxDeliveryAge: 168 * time.Hour,
		DisableAfter: 120 * time.Hour, DisableConsecutive: 100, RetentionDeliveries: 720 * time.Hour, RetentionExhausted: 2160 * time.Hour,
		CaptureBytes: 65536, MaxPayloadBytes: 262144, ShutdownGrace: 20 * time.Second, MaxWebhooks: 1000, Source: "/kuranty",
	}
	if diff := cmp.Diff(want, load(t, "c.yaml", "").Config.Webhooks); diff != "" {
		t.Error(diff)
	}
}

func TestWebhooksFollowOtherKeys(t *testing.T) {
	w := load(t, "c.yaml", "http_server: {public_url: 'https://chat.example.com'}\nshutdown: {timeout: 5s}\nwebhooks: {timeout_ms: 2000, retention_deliveries: 3000h}").Config.Webhooks
	got := []any{w.Source, w.ShutdownGrace, w.ConnectTimeoutMS, w.RetentionExhausted}
	if diff := cmp.Diff([]any{"https://chat.example.com", 5 * time.Second, 2000, 3000 * time.Hour}, got); diff != "" {
		t.Error(diff)
	}
	for _, tt := range []struct{ bad, want, good string }{
		{"webhooks: {connect_timeout_ms: 5001, timeout_ms: 5000}", "webhooks.connect_timeout_ms (file c.yaml:1): must not exceed webhooks.timeout_ms (5000)", "webhooks: {connect_timeout_ms: 5000, timeout_ms: 5000}"},
		{"webhooks: {shutdown_grace: 6s}\nshutdown: {timeout: 5s}", "webhooks.shutdown_grace (file c.yaml:1): must not exceed shutdown.timeout (5s)", "webhooks: {shutdown_grace: 5s}\nshutdown: {timeout: 5s}"},
		{"webhooks: {retention_exhausted: 719h}", "webhooks.retention_exhausted (file c.yaml:1): must be at least webhooks.retention_deliveries (720h)", "webhooks: {retention_exhausted: 720h}"},
		{"webhooks: {retry_schedule: [5, 0]}", "webhooks.retry_schedule (file c.yaml:1): each element must be 1 to 86400", "webhooks: {retry_schedule: [86400]}"},
		{"webhooks: {retry_schedule: [" + strings.Repeat("1,", 20) + "1]}", "webhooks.retry_schedule (file c.yaml:1): must not have more than 20 elements", "webhooks: {retry_schedule: [" + strings.Repeat("1,", 19) + "1]}"},
		{"webhooks: {retry_schedule: {}}", "webhooks.retry_schedule (file c.yaml:1): must be a list of whole numbers, not a section", "webhooks: {retry_schedule: 1 2}"},
		{"webhooks: {retry_schedule: [[1]]}", "webhooks.retry_schedule (file c.yaml:1): each element must be a whole number", "webhooks: {retry_schedule: ['1']}"},
		{"webhooks: {retry_jitter: 1.1}", "webhooks.retry_jitter (file c.yaml:1): must be 0 to 1", "webhooks: {retry_jitter: 1}"},
		{"webhooks: {first_attempt_reserve: NaN}", "webhooks.first_attempt_reserve (file c.yaml:1): must be a number", "webhooks: {first_attempt_reserve: 0.9}"},
		{"webhooks: {disable_after: 59s}", "webhooks.disable_after (file c.yaml:1): must be at least 1m", "webhooks: {disable_after: 1m}"},
		{"webhooks: {allow_hosts: ['example.com:80']}", "webhooks.allow_hosts (file c.yaml:1): \"example.com:80\" must be a host", "webhooks: {allow_hosts: ['example.com', '127.0.0.1', '::1']}"},
		{"webhooks: {egress_proxy: 'http://proxy.example.com/a'}", "webhooks.egress_proxy (file c.yaml:1): must be http://", "webhooks: {egress_proxy: 'socks5h://proxy.example.com'}"},
		{"webhooks: {retry_shedule: [5]}", "webhooks.retry_shedule (file c.yaml:1): unknown key; the nearest known one is webhooks.retry_schedule", "webhooks: {}"},
		{"webhooks: {legacy_inactive_records: false}", "unknown key", ""},
	} {
		if got := problems(t, yaml(tt.bad)); !strings.Contains(got, tt.want) {
			t.Errorf("%s\n%s\nwant %s", tt.bad, got, tt.want)
		}
		if got := problems(t, yaml(tt.good)); got != "" {
			t.Errorf("%s\n%s\nwant no problem", tt.good, got)
		}
	}
}

// A written empty list is a single attempt; an empty text is the default, as elsewhere.
func TestRetryScheduleCanBeEmpty(t *testing.T) {
	if s := load(t, "c.json", `{"webhooks":{"retry_schedule":[]}}`).Config.Webhooks.RetrySchedule; s == nil || len(s) != 0 {
		t.Errorf("schedule of [] = %#v", s)
	}
	if s := load(t, "c.json", `{"webhooks":{"retry_schedule":""}}`).Config.Webhooks.RetrySchedule; len(s) != 9 {
		t.Errorf("schedule of an empty text = %v", s)
	}
	res, err := config.Load(config.Source{Env: []string{"KURANTY_WEBHOOKS_RETRY_SCHEDULE=1 2", "KURANTY_WEBHOOKS_ALLOW_NETWORKS=127.0.0.0/8 ::1/128", "KURANTY_WEBHOOKS_FIRST_ATTEMPT_RESERVE=0.5"}})
	if err != nil {
		t.Fatal(err)
	}
	w := res.Config.Webhooks
	if diff := cmp.Diff([]any{[]int{1, 2}, []string{"127.0.0.0/8", "::1/128"}, 0.5}, []any{w.RetrySchedule, w.AllowNetworks, w.FirstAttemptReserve}); diff != "" {
		t.Error(diff)
	}
}

func TestUnencryptedWebhooksAreNoted(t *testing.T) {
	if got := notes(load(t, "c.yaml", "webhooks: {allow_http: true}")); !strings.Contains(got, "webhooks.allow_http (file c.yaml:1): webhooks may be sent") {
		t.Errorf("notes = %s", got)
	}
	for _, quiet := range []string{"", "webhooks: {allow_http: true, enabled: false}"} {
		if got := notes(load(t, "c.yaml", quiet)); got != "" {
			t.Errorf("%q: notes = %s", quiet, got)
		}
	}
}

func TestReadEncryptionKey(t *testing.T) {
	want := bytes.Repeat([]byte{0xfb, 0xff}, 16)
	for _, text := range []string{
		strings.Repeat("fbff", 16), strings.Repeat("FBFF", 16),
		"+//7//v/+//7//v/+//7//v/+//7//v/+//7//v/+/8=", "+//7//v/+//7//v/+//7//v/+//7//v/+//7//v/+/8",
		"-__7__v_-__7__v_-__7__v_-__7__v_-__7__v_-_8=", "-__7__v_-__7__v_-__7__v_-__7__v_-__7__v_-_8",
	} {
		if got, err := config.ReadEncryptionKey(text); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %x, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "c4n4ry", strings.Repeat("fb", 31), strings.Repeat("fb", 33), " " + strings.Repeat("fb", 32)} {
		if _, err := config.ReadEncryptionKey(text); err == nil || strings.Contains(err.Error(), "c4n4ry") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzReadEncryptionKey(f *testing.F) {
	f.Add(strings.Repeat("fb", 32))
	f.Add("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	f.Fuzz(func(t *testing.T, text string) {
		if key, err := config.ReadEncryptionKey(text); (err == nil) != (len(key) == 32) {
			t.Errorf("%q: %d bytes, %v", text, len(key), err)
		}
	})
}
