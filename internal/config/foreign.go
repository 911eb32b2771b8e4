package config

import "strings"

// Keys that Centrifugo has and this version does not (auth-and-channels.md §5, §9, §10).
// What would change nothing is accepted, so that a file that works there works here;
// what would not is refused rather than ignored.

// treatment says what becomes of a foreign key.
type treatment uint8

const (
	// refused: only a value that asks for nothing is taken.
	refused treatment = iota
	// idle: has no effect here, because its switch is refused or because there is
	// nothing to tune; a note says so.
	idle
	// console: belongs to the operator console, which is still to come.
	console
	// commercial: an option of the commercial edition; a warning says it is ignored.
	commercial
	// verbose: makes the log tell more.
	verbose
)

// foreignGroup holds keys below a prefix. "key=value" names a value, besides zero ones,
// that asks for nothing; a key that ends in * stands for all that begin so.
type foreignGroup struct {
	treatment treatment
	prefix    string
	keys      string
}

// anyChannels is the prefix of options of channels, with and without namespace.
const anyChannels = "channel.namespaces.*."

const proxyKeys = "endpoint timeout http_headers grpc_metadata emulated_headers binary_encoding include_connection_meta http.* grpc.*"

var foreignGroups = []foreignGroup{
	{console, "admin.", "enabled password secret insecure web_path web_proxy_address external handler_prefix"},

	{refused, "", "pid_file consumers enable_unreleased_features"},
	{idle, "", "proxies"},
	{refused, "engine.", "type=memory"},
	{verbose, "engine.", "debug"},
	{idle, "engine.", "redis.*"},
	{refused, "broker.", "type=memory"},
	{idle, "broker.", "enabled redis.* nats.* redisnats.* postgres.*"},
	{refused, "presence_manager.", "type=memory"},
	{idle, "presence_manager.", "enabled redis.*"},
	{refused, "map_broker.", "type=memory"},
	{idle, "map_broker.", "enabled redis.* postgres.*"},
	{idle, "node.", "info_metrics_aggregate_interval"},
	{idle, "usage_stats.", "disabled"},

	{refused, "client.", "concurrency channel_position_max_time_lag proxy.connect.enabled proxy.refresh.enabled connect_code_to_unidirectional_disconnect.enabled insecure_skip_jwks_endpoint_safety_check"},
	{idle, "client.", "connect_code_to_unidirectional_disconnect.transforms"},
	{idle, "client.proxy.connect.", proxyKeys},
	{idle, "client.proxy.refresh.", proxyKeys},
	{idle, "channel.", "proxy.*"},
	{refused, "rpc.", "without_namespace.proxy_enabled namespaces ping.enabled"},
	{idle, "rpc.", "proxy.* without_namespace.proxy_name namespace_boundary ping.method"},

	{refused, anyChannels, "allowed_delta_types delta_publish allow_tags_filter subscribe_proxy_enabled publish_proxy_enabled sub_refresh_proxy_enabled subscribe_stream_proxy_enabled subscription_type=stream"},
	{idle, anyChannels, "subscribe_proxy_name publish_proxy_name sub_refresh_proxy_name subscribe_stream_proxy_name subscribe_stream_proxy_bidirectional map_clients_presence_channel_prefix map_users_presence_channel_prefix map.* shared_poll.*"},
	{commercial, anyChannels, "subscribe_cel publish_cel presence_cel history_cel keep_latest_publication shared_position_sync state_events cache_empty_proxy_enabled cache_empty_proxy_name broker_name presence_manager_name channel_patterns server_tags_filter compaction batch_max_size batch_max_delay publish_debounce"},

	{refused, "http_server.", "internal_port tls_external tls.client_ca_pem tls.insecure_skip_verify tls_autocert.enabled http3.enabled"},
	{idle, "http_server.", "internal_address tls.server_ca_pem tls.server_name tls_autocert.host_whitelist tls_autocert.cache_dir tls_autocert.email tls_autocert.server_name tls_autocert.http tls_autocert.http_addr"},
	{idle, "http_api.", "external"},
	{refused, "log.", "file"},
	{refused, "health.", "handler_prefix=/health"},
	{refused, "prometheus.", "handler_prefix=/metrics"},
	{idle, "websocket.", "read_buffer_size write_buffer_size use_write_buffer_pool"},

	{refused, "sse.", "enabled"},
	{idle, "sse.", "max_request_body_size handler_prefix"},
	{refused, "http_stream.", "enabled"},
	{idle, "http_stream.", "max_request_body_size handler_prefix"},
	{idle, "emulation.", "max_request_body_size handler_prefix"},
	{refused, "webtransport.", "enabled"},
	{idle, "webtransport.", "handler_prefix"},
	{refused, "uni_sse.", "enabled"},
	{idle, "uni_sse.", "max_request_body_size handler_prefix connect_code_to_http_response.*"},
	{refused, "uni_http_stream.", "enabled"},
	{idle, "uni_http_stream.", "max_request_body_size handler_prefix connect_code_to_http_response.*"},
	{refused, "uni_websocket.", "enabled"},
	{idle, "uni_websocket.", "handler_prefix compression compression_min_size compression_level read_buffer_size use_write_buffer_pool write_buffer_size write_timeout message_size_limit join_push_messages"},
	{refused, "uni_grpc.", "enabled"},
	{idle, "uni_grpc.", "address port max_receive_message_size tls.*"},
	{refused, "grpc_api.", "enabled"},
	{idle, "grpc_api.", "address port key error_mode reflection max_receive_message_size tls.*"},
	{refused, "swagger.", "enabled"},
	{idle, "swagger.", "handler_prefix"},
	{refused, "debug.", "enabled"},
	{idle, "debug.", "handler_prefix"},
	{refused, "dev.", "enabled"},
	{idle, "dev.", "handler_prefix"},
	{refused, "init.", "enabled"},
	{idle, "init.", "handler_prefix"},
	{refused, "opentelemetry.", "enabled"},
	{idle, "opentelemetry.", "api consuming"},
	{refused, "graphite.", "enabled"},
	{idle, "graphite.", "host port prefix interval tags"},

	// Names of versions 3 to 5 that version 6 no longer has.
	{refused, "", "granular_proxy_mode sockjs use_client_protocol_v1_by_default"},
	{idle, "", "sockjs_* tarantool_* gomaxprocs shutdown_termination_delay grpc_api_tls_disable uni_grpc_tls_disable connect_proxy_name refresh_proxy_name rpc_proxy_name proxy_http_headers proxy_static_http_headers proxy_http_status_code_transforms proxy_binary_encoding proxy_include_connection_meta proxy_grpc_metadata proxy_grpc_compression proxy_grpc_tls proxy_grpc_credentials_key proxy_grpc_credentials_value websocket_ping_interval uni_websocket_ping_interval redis_idle_timeout redis_read_timeout redis_write_timeout disable_client_protocol_v1"},
}

// foreignKey is one key of the groups.
type foreignKey struct {
	treatment treatment
	harmless  string
}

// foreignKeys has the groups' keys by path, foreignStems those that end in *.
var foreignKeys, foreignStems = func() (exact, stems map[string]foreignKey) {
	exact, stems = map[string]foreignKey{}, map[string]foreignKey{}
	for _, g := range foreignGroups {
		for key := range strings.FieldsSeq(g.keys) {
			key, harmless, _ := strings.Cut(key, "=")
			f := foreignKey{g.treatment, harmless}
			if stem, ok := strings.CutSuffix(key, "*"); ok {
				stems[g.prefix+stem] = f
			} else {
				exact[g.prefix+key] = f
			}
		}
	}
	return exact, stems
}()

// foreign finds the key at path, where the name of a namespace and without_namespace are
// both written as in [anyChannels]; below tells that path is a section of such keys.
func foreign(path string) (f foreignKey, found, below bool) {
	if f, found = foreignKeys[path]; found {
		return f, true, false
	}
	for stem, f := range foreignStems {
		if strings.HasPrefix(path, stem) || path+"." == stem {
			return f, true, false
		}
	}
	for key := range foreignKeys {
		if strings.HasPrefix(key, path+".") {
			return f, false, true
		}
	}
	return f, false, false
}

// asksForNothing tells whether v leaves a refused key as it is without it.
func (f foreignKey) asksForNothing(v value) bool {
	return v.zero() || v.kind == text && f.harmless != "" && v.text == f.harmless
}
