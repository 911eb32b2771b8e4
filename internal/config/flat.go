package config

import (
	"strconv"
	"strings"
)

// Names of versions 3 to 5 of Centrifugo, whose files are flat, and where their values
// stand in version 6 (auth-and-channels.md §10.1, §10.2).

// renaming maps keys from+name to to+name; "old=new" renames the rest as well.
type renaming struct{ from, to, names string }

const (
	jwtNames  = "hmac_secret_key hmac_previous_secret_key hmac_previous_secret_key_valid_until rsa_public_key ecdsa_public_key jwks_public_endpoint audience audience_regex issuer issuer_regex user_id_claim"
	tlsNames  = "cert=cert_pem cert_pem key=key_pem key_pem root_ca=server_ca_pem root_ca_pem=server_ca_pem client_ca=client_ca_pem client_ca_pem server_name insecure_skip_verify"
	wsNames   = "compression compression_min_size compression_level read_buffer_size use_write_buffer_pool write_buffer_size write_timeout message_size_limit handler_prefix"
	bodyNames = "max_request_body_size handler_prefix"
)

var renamings = []renaming{
	{"token_", "client.token.", jwtNames},
	{"subscription_token_", "client.subscription_token.", jwtNames},
	{"client_", "client.", "anonymous=allow_anonymous_connect_without_token insecure insecure_skip_token_signature_verify user_id_http_header expired_close_delay expired_sub_close_delay stale_close_delay channel_limit queue_max_size presence_update_interval user_connection_limit concurrency channel_position_check_delay channel_position_max_time_lag connection_limit connection_rate_limit connect_include_server_time history_max_publication_limit recovery_max_publication_limit connect_code_to_unidirectional_disconnect"},
	{"", "client.", "allowed_origins allow_anonymous_connect_without_token disallow_anonymous_connection_tokens ping_interval pong_timeout"},
	{"", "channel.without_namespace.", "presence join_leave force_push_join_leave history_size history_ttl history_meta_ttl force_positioning allow_positioning force_recovery allow_recovery force_recovery_mode allowed_delta_types delta_publish allow_subscribe_for_client allow_subscribe_for_anonymous allow_publish_for_client allow_publish_for_subscriber allow_publish_for_anonymous allow_presence_for_client allow_presence_for_subscriber allow_presence_for_anonymous allow_history_for_client allow_history_for_subscriber allow_history_for_anonymous allow_user_limited_channels channel_regex subscribe_proxy_name publish_proxy_name sub_refresh_proxy_name subscribe_stream_proxy_name " + elementNames},
	{"channel_", "channel.", "max_length private_prefix namespace_boundary user_boundary user_separator"},
	{"api_", "http_api.", "key insecure external error_mode handler_prefix disable=disabled"},
	{"admin_", "admin.", "password secret insecure web_path web_proxy_address external handler_prefix"},
	{"grpc_api_", "grpc_api.", "address port key error_mode reflection max_receive_message_size"},
	{"", "http_server.", "address port internal_address internal_port tls_external"},
	{"redis_", "engine.redis.", "address prefix connect_timeout io_timeout db user password client_name force_resp2 cluster_address sentinel_address sentinel_user sentinel_password sentinel_master_name sentinel_client_name presence_hash_field_ttl use_lists=history_use_lists"},
	{"nats_", "broker.nats.", "prefix url dial_timeout write_timeout allow_wildcards raw_mode tls"},
	{"websocket_", "websocket.", wsNames + " disable=disabled"},
	{"uni_websocket_", "uni_websocket.", wsNames},
	{"sse_", "sse.", bodyNames},
	{"http_stream_", "http_stream.", bodyNames},
	{"uni_sse_", "uni_sse.", bodyNames + " connect_code_to_http_response"},
	{"uni_http_stream_", "uni_http_stream.", bodyNames + " connect_code_to_http_response"},
	{"emulation_", "emulation.", bodyNames},
	{"uni_grpc_", "uni_grpc.", "address port max_receive_message_size"},
	{"proxy_connect_", "client.proxy.connect.", "endpoint timeout"},
	{"proxy_refresh_", "client.proxy.refresh.", "endpoint timeout"},
	{"proxy_subscribe_", "channel.proxy.subscribe.", "endpoint timeout"},
	{"proxy_publish_", "channel.proxy.publish.", "endpoint timeout"},
	{"proxy_sub_refresh_", "channel.proxy.sub_refresh.", "endpoint timeout"},
	{"proxy_subscribe_stream_", "channel.proxy.subscribe_stream.", "endpoint timeout"},
	{"proxy_rpc_", "rpc.proxy.", "endpoint timeout"},
	{"log_", "log.", "level file"},
	{"graphite_", "graphite.", "host port prefix interval tags"},
	{"opentelemetry_", "opentelemetry.", "api consuming"},
	{"tls_autocert_", "http_server.tls_autocert.", "host_whitelist cache_dir email server_name http http_addr"},
	{"redis_tls_", "engine.redis.tls.", tlsNames},
	{"redis_sentinel_tls_", "engine.redis.sentinel_tls.", tlsNames},
	{"grpc_api_tls_", "grpc_api.tls.", tlsNames},
	{"uni_grpc_tls_", "uni_grpc.tls.", tlsNames},
	{"tls_", "http_server.tls.", tlsNames},
	{"", "", "admin=admin.enabled prometheus=prometheus.enabled health=health.enabled debug=engine.debug swagger=swagger.enabled graphite=graphite.enabled opentelemetry=opentelemetry.enabled grpc_api=grpc_api.enabled uni_grpc=uni_grpc.enabled sse=sse.enabled http_stream=http_stream.enabled webtransport=webtransport.enabled uni_sse=uni_sse.enabled uni_http_stream=uni_http_stream.enabled uni_websocket=uni_websocket.enabled tls=http_server.tls.enabled http3=http_server.http3.enabled redis_tls=engine.redis.tls.enabled redis_sentinel_tls=engine.redis.sentinel_tls.enabled grpc_api_tls=grpc_api.tls.enabled uni_grpc_tls=uni_grpc.tls.enabled tls_autocert=http_server.tls_autocert.enabled"},
	{"", "", "name=node.name node_info_metrics_aggregate_interval=node.info_metrics_aggregate_interval separate_subscription_token_config=client.subscription_token.enabled engine=engine.type broker=broker.type shutdown_timeout=shutdown.timeout usage_stats_disable=usage_stats.disabled"},
	{"user_", "client.subscribe_to_user_personal_channel.", "subscribe_to_personal=enabled personal_channel_namespace personal_single_connection=single_connection"},
	{"global_", "", "history_meta_ttl=channel.history_meta_ttl presence_ttl=engine.redis.presence_ttl redis_presence_user_mapping=engine.redis.presence_user_mapping"},
	{"", "", "presence_ttl=engine.redis.presence_ttl namespaces=channel.namespaces rpc_namespaces=rpc.namespaces rpc_namespace_boundary=rpc.namespace_boundary rpc_ping=rpc.ping.enabled rpc_ping_method=rpc.ping.method"},
	{"", "", "prometheus_handler_prefix=prometheus.handler_prefix health_handler_prefix=health.handler_prefix swagger_handler_prefix=swagger.handler_prefix webtransport_handler_prefix=webtransport.handler_prefix"},
	// Version 2.
	{"", "", "secret=client.token.hmac_secret_key"},
}

// elementNames are old options of channels, on top level and in namespaces.
const elementNames = "proxy_subscribe=subscribe_proxy_enabled proxy_publish=publish_proxy_enabled proxy_sub_refresh=sub_refresh_proxy_enabled proxy_subscribe_stream=subscribe_stream_proxy_enabled proxy_stream_subscribe=subscribe_stream_proxy_enabled proxy_subscribe_stream_bidirectional=subscribe_stream_proxy_bidirectional"

// flatKeys maps names of the top level, flatElement those of a namespace's options.
var flatKeys, flatElement = rename(renamings), rename([]renaming{{"", "", elementNames}})

func rename(rs []renaming) map[string]string {
	m := map[string]string{}
	for _, r := range rs {
		for name := range strings.FieldsSeq(r.names) {
			from, to, renamed := strings.Cut(name, "=")
			if !renamed {
				to = from
			}
			m[r.from+from] = r.to + to
		}
	}
	return m
}

// implied are keys that a flat one switches on in version 6, if it is not empty.
var implied = map[string]string{
	"proxy_connect_endpoint": "client.proxy.connect.enabled",
	"proxy_refresh_endpoint": "client.proxy.refresh.enabled",
	"proxy_rpc_endpoint":     "rpc.without_namespace.proxy_enabled",
	"broker":                 "broker.enabled",
}

// v3Names are options of channels that only versions 2 and 3 had. Channels were open
// then unless closed; one of these names in a file says that its author relied on it.
var v3Names = map[string]bool{
	"anonymous": true, "publish": true, "subscribe_to_publish": true, "protected": true,
	"history_disable_for_client": true, "presence_disable_for_client": true,
	"recover": true, "position": true, "history_lifetime": true, "server_side": true,
}

// isV3 tells whether a file uses names of version 3.
func isV3(file value) bool {
	for _, e := range file.entries {
		if v3Names[e.key] || e.key == "client_anonymous" {
			return true
		}
		for _, ns := range e.val.items {
			for _, o := range ns.entries {
				if e.key == "namespaces" && v3Names[o.key] {
					return true
				}
			}
		}
	}
	return false
}

// change is a key that a translation added, and why.
type change struct {
	entry
	why string
}

// translateV3 splits channel options of version 3 (auth-and-channels.md §10.3) into the
// entries that stay as they are and those that stand for the old names and defaults.
// Additions have the line of what they stand for, or the given one.
func translateV3(opts []entry, line int, from place) (kept []entry, added []change, wrong []Problem) {
	on := map[string]bool{}
	has := map[string]entry{}
	for _, e := range opts {
		if v3Names[e.key] && e.key != "history_lifetime" {
			b, err := e.val.asBool()
			if err != nil {
				wrong = append(wrong, Problem{Key: e.key, Text: err.Error(), Origin: from.at(e.line).origin()})
			}
			on[e.key], has[e.key] = b, e
			continue
		}
		if e.key == "presence" || e.key == "join_leave" {
			on[e.key], _ = e.val.asBool()
		}
		if e.key == "history_lifetime" {
			v := e.val
			v.kind, v.text = text, v.text+"s"
			added = append(added, change{entry{"history_ttl", e.line, v}, "history_lifetime in seconds"})
			continue
		}
		has[e.key] = e
		kept = append(kept, e)
	}
	size, _ := has["history_size"].val.asInt(32)
	add := func(when bool, cause, why string, names ...string) {
		if !when {
			return
		}
		at := line
		if e, ok := has[cause]; ok {
			at = e.line
		}
		for _, name := range names {
			if _, ok := has[name]; !ok {
				v := value{kind: boolean, text: strconv.FormatBool(true), line: at}
				added = append(added, change{entry{name, at, v}, why})
			}
		}
	}
	presence := on["presence"] && !on["presence_disable_for_client"]
	history := size > 0 && !on["history_disable_for_client"]
	add(!on["protected"] && !on["server_side"], "protected", "channels of version 3 were open unless protected", "allow_subscribe_for_client")
	add(true, "", "version 3 always knew user-limited channels", "allow_user_limited_channels")
	add(on["anonymous"], "anonymous", "anonymous", "allow_subscribe_for_anonymous")
	add(on["publish"] && !on["subscribe_to_publish"], "publish", "publish", "allow_publish_for_client")
	add(on["publish"] && on["subscribe_to_publish"], "publish", "publish with subscribe_to_publish", "allow_publish_for_subscriber")
	add(on["publish"] && on["anonymous"], "anonymous", "anonymous", "allow_publish_for_anonymous")
	add(presence, "presence", "subscribers of version 3 saw presence unless it was disabled", "allow_presence_for_subscriber")
	add(presence && on["anonymous"], "anonymous", "anonymous", "allow_presence_for_anonymous")
	add(history, "history_size", "subscribers of version 3 saw history unless it was disabled", "allow_history_for_subscriber")
	add(history && on["anonymous"], "anonymous", "anonymous", "allow_history_for_anonymous")
	add(on["join_leave"], "join_leave", "version 3 pushed join and leave to all", "force_push_join_leave")
	add(on["position"], "position", "position", "force_positioning")
	add(on["recover"], "recover", "recover", "force_recovery")
	return kept, added, wrong
}
