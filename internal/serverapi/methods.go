package serverapi

import (
	"context"
	"encoding/base64"
	"maps"
	"slices"
	"strconv"

	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// request is the parameters of one call.
type request interface {
	object
	// run carries the request out and appends the result, an object, to dst. What it
	// appended before an error is to be dropped.
	run(ctx context.Context, a *API, dst []byte) ([]byte, error)
}

// method is a method of the API.
type method struct {
	name string
	// number names it in the older form (server-api.md §4).
	number int
	// request returns empty parameters.
	request func() request
	// bare says that the result is the answer itself.
	bare  bool
	index int
}

const methodCount = 14

// methodList is in the order of server-api.md §3; publish is the first.
var methodList = [methodCount]*method{
	{name: "publish", number: 0, request: func() request { return new(publishRequest) }},
	{name: "broadcast", number: 1, request: func() request { return new(broadcastRequest) }},
	{name: "subscribe", number: 11, request: func() request { return new(subscribeRequest) }},
	{name: "unsubscribe", number: 2, request: func() request { return new(unsubscribeRequest) }},
	{name: "disconnect", number: 3, request: func() request { return new(disconnectRequest) }},
	{name: "refresh", number: 12, request: func() request { return new(refreshRequest) }},
	{name: "presence", number: 4, request: func() request { return new(presenceRequest) }},
	{name: "presence_stats", number: 5, request: func() request { return new(presenceStatsRequest) }},
	{name: "history", number: 6, request: func() request { return new(historyRequest) }},
	{name: "history_remove", number: 7, request: func() request { return new(historyRemoveRequest) }},
	{name: "channels", number: 8, request: func() request { return new(channelsRequest) }},
	{name: "info", number: 9, request: func() request { return new(infoRequest) }},
	{name: "rpc", number: 10, request: func() request { return new(rpcRequest) }},
	{name: "batch", number: -1, request: func() request { return new(batchRequest) }, bare: true},
}

// methods are the methods by name. (Not initialised in place: batch refers to it.)
var methods map[string]*method

func init() {
	methods = make(map[string]*method, methodCount)
	for i, m := range methodList {
		m.index = i
		methods[m.name] = m
	}
}

// content is what publish and broadcast have in common.
type content struct {
	data    []byte
	b64data string
	options realtime.PublishOptions
}

func (c *content) member(d *decoder, name []byte) {
	switch string(name) {
	case "data":
		d.payload(&c.data)
	case "b64data":
		d.str(&c.b64data)
	case "skip_history":
		d.flag(&c.options.SkipHistory)
	case "tags":
		d.pairs(&c.options.Tags)
	case "idempotency_key":
		d.str(&c.options.IdempotencyKey)
	case "delta": // a hint for subscribers that negotiated deltas, of which there are none
		var delta bool
		d.flag(&delta)
	case "version":
		d.unsigned(&c.options.Version, 64)
	case "version_epoch":
		d.str(&c.options.VersionEpoch)
	default:
		d.skip()
	}
}

// payload returns the data, of which b64 is the binary form.
func payload(data []byte, b64 string) ([]byte, error) {
	if b64 == "" {
		return data, nil
	}
	data, err := base64.StdEncoding.DecodeString(b64)
	if err != nil {
		return nil, protocol.ErrBadRequest
	}
	return data, nil
}

// prepare returns what is published and how.
func (c *content) prepare() ([]byte, realtime.PublishOptions, error) {
	data, err := payload(c.data, c.b64data)
	c.options.JSON = c.b64data == "" && len(data) > 0 // the decoder has checked it
	return data, c.options, err
}

type publishRequest struct {
	channel string
	content
}

func (r *publishRequest) member(d *decoder, name []byte) {
	if string(name) == "channel" {
		d.str(&r.channel)
		return
	}
	r.content.member(d, name)
}

func (r *publishRequest) run(ctx context.Context, a *API, dst []byte) ([]byte, error) {
	data, options, err := r.prepare()
	if err != nil {
		return dst, err
	}
	position, err := a.node.Publish(ctx, r.channel, data, options)
	if err != nil {
		return dst, err
	}
	return appendPosition(dst, position), nil
}

type broadcastRequest struct {
	channels []string
	content
}

func (r *broadcastRequest) member(d *decoder, name []byte) {
	if string(name) == "channels" {
		d.strs(&r.channels)
		return
	}
	r.content.member(d, name)
}

func (r *broadcastRequest) run(ctx context.Context, a *API, dst []byte) ([]byte, error) {
	data, options, err := r.prepare()
	if err != nil {
		return dst, err
	}
	if len(r.channels) == 0 {
		return dst, protocol.ErrBadRequest
	}
	type result struct {
		position protocol.StreamPosition
		err      error
	}
	results := make([]result, len(r.channels))
	a.each(len(results), parallelLimit, func(i int) {
		results[i].err = protocol.ErrInternal // unless we get further
		results[i].position, results[i].err = a.node.Publish(ctx, r.channels[i], data, options)
	})
	dst = append(dst, `{"responses":[`...)
	for i := range results {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		if err := results[i].err; err != nil {
			dst = appendError(dst, a.refusal(methods["broadcast"], err, nil))
		} else {
			dst = appendPosition(appendKey(dst, "result"), results[i].position)
		}
		dst = append(dst, '}')
	}
	return append(dst, "]}"...), nil
}

// target takes the members that select connections.
type target struct{ realtime.Target }

func (t *target) member(d *decoder, name []byte) {
	switch string(name) {
	case "user":
		d.str(&t.User)
	case "client":
		d.str(&t.Client)
	case "session":
		d.str(&t.Session)
	default:
		d.skip()
	}
}

// position is a place in a stream, as a parameter.
type position struct{ protocol.StreamPosition }

func (p *position) member(d *decoder, name []byte) {
	switch string(name) {
	case "offset":
		d.unsigned(&p.Offset, 64)
	case "epoch":
		d.str(&p.Epoch)
	default:
		d.skip()
	}
}

// since takes a position unless it is null.
func since(d *decoder, p **protocol.StreamPosition) {
	if d.null() {
		return
	}
	var at position
	d.object(&at)
	*p = &at.StreamPosition
}

type subscribeRequest struct {
	target
	channel          string
	info, data       []byte
	b64info, b64data string
	options          realtime.SubscribeOptions
}

func (r *subscribeRequest) member(d *decoder, name []byte) {
	switch string(name) {
	case "channel":
		d.str(&r.channel)
	case "expire_at":
		d.signed(&r.options.ExpireAt, 64)
	case "info":
		d.payload(&r.info)
	case "b64info":
		d.str(&r.b64info)
	case "data":
		d.payload(&r.data)
	case "b64data":
		d.str(&r.b64data)
	case "recover_since":
		since(d, &r.options.RecoverSince)
	case "override":
		d.object((*override)(&r.options.Override))
	default:
		r.target.member(d, name)
	}
}

func (r *subscribeRequest) run(ctx context.Context, a *API, dst []byte) ([]byte, error) {
	var err error
	if r.options.Info, err = payload(r.info, r.b64info); err != nil {
		return dst, err
	}
	if r.options.Data, err = payload(r.data, r.b64data); err != nil {
		return dst, err
	}
	if r.channel == "" {
		return dst, protocol.ErrBadRequest
	}
	return append(dst, "{}"...), a.node.Subscribe(ctx, r.Target, r.channel, r.options)
}

type override realtime.Override

func (o *override) member(d *decoder, name []byte) {
	switch string(name) {
	case "presence":
		choice(d, &o.Presence)
	case "join_leave":
		choice(d, &o.JoinLeave)
	case "force_recovery":
		choice(d, &o.ForceRecovery)
	case "force_positioning":
		choice(d, &o.ForcePositioning)
	case "force_push_join_leave":
		choice(d, &o.ForcePushJoinLeave)
	default:
		d.skip()
	}
}

// choice takes {"value": true or false}; without value it is false.
func choice(d *decoder, p **bool) {
	if d.null() {
		return
	}
	var v boolValue
	d.object(&v)
	*p = (*bool)(&v)
}

type boolValue bool

func (v *boolValue) member(d *decoder, name []byte) {
	if string(name) == "value" {
		d.flag((*bool)(v))
		return
	}
	d.skip()
}

type unsubscribeRequest struct {
	target
	channel string
}

func (r *unsubscribeRequest) member(d *decoder, name []byte) {
	if string(name) == "channel" {
		d.str(&r.channel)
		return
	}
	r.target.member(d, name)
}

// An empty channel means all channels.
func (r *unsubscribeRequest) run(ctx context.Context, a *API, dst []byte) ([]byte, error) {
	return append(dst, "{}"...), a.node.Unsubscribe(ctx, r.Target, r.channel, protocol.UnsubscribeServer)
}

type disconnectRequest struct {
	target
	why       closing
	whitelist []string
}

type closing struct {
	code   uint64
	reason string
}

func (r *disconnectRequest) member(d *decoder, name []byte) {
	switch string(name) {
	case "disconnect":
		r.why = closing{}
		d.object(&r.why)
	case "whitelist":
		d.strs(&r.whitelist)
	default:
		r.target.member(d, name)
	}
}

func (c *closing) member(d *decoder, name []byte) {
	switch string(name) {
	case "code":
		d.unsigned(&c.code, 32)
	case "reason":
		d.str(&c.reason)
	default:
		d.skip()
	}
}

func (r *disconnectRequest) run(ctx context.Context, a *API, dst []byte) ([]byte, error) {
	why, err := r.why.close()
	if err != nil {
		return dst, err
	}
	return append(dst, "{}"...), a.node.Disconnect(ctx, r.Target, why, r.whitelist)
}

// reasons are the texts of the codes that a server knows (client-protocol.md §20.2).
var reasons = func() map[uint32]string {
	known := make(map[uint32]string)
	for _, c := range []*protocol.Close{
		protocol.CloseNormal, protocol.CloseShutdown, protocol.CloseInternal, protocol.CloseExpired, protocol.CloseSubExpired,
		protocol.CloseSlow, protocol.CloseWriteError, protocol.CloseInsufficient, protocol.CloseForceReconnect,
		protocol.CloseNoPong, protocol.CloseTooManyRequests, protocol.CloseStateInvalidated,
		protocol.CloseInvalidToken, protocol.CloseBadRequest, protocol.CloseStale, protocol.CloseForceDisconnect,
		protocol.CloseConnectionLimit, protocol.CloseChannelLimit, protocol.CloseInappropriate,
		protocol.ClosePermissionDenied, protocol.CloseNotAvailable, protocol.CloseTooManyErrors,
	} {
		known[c.Code] = c.Reason
	}
	return known
}()

// close returns the reason for closing. Clients take an empty reason, or one that
// is JSON, for something else (client-protocol.md §20.2), so neither leaves us.
func (c *closing) close() (*protocol.Close, error) {
	code := uint32(c.code)
	if code == 0 {
		code = protocol.CloseForceDisconnect.Code
	}
	if code < 3000 || code > 4999 || len(c.reason) > 123 || protocol.ValidJSON([]byte(c.reason)) {
		return nil, protocol.ErrBadRequest
	}
	reason := c.reason
	if reason == "" {
		reason = reasons[code]
	}
	if reason == "" {
		reason = "disconnect"
	}
	return &protocol.Close{Code: code, Reason: reason}, nil
}

type refreshRequest struct {
	target
	options realtime.RefreshOptions
}

func (r *refreshRequest) member(d *decoder, name []byte) {
	switch string(name) {
	case "expired":
		d.flag(&r.options.Expired)
	case "expire_at":
		d.signed(&r.options.ExpireAt, 64)
	case "info":
		d.payload(&r.options.Info)
	default:
		r.target.member(d, name)
	}
}

func (r *refreshRequest) run(ctx context.Context, a *API, dst []byte) ([]byte, error) {
	return append(dst, "{}"...), a.node.Refresh(ctx, r.Target, r.options)
}

// channelRequest is the parameters of methods that need no more than a channel.
type channelRequest struct{ channel string }

func (r *channelRequest) member(d *decoder, name []byte) {
	if string(name) == "channel" {
		d.str(&r.channel)
		return
	}
	d.skip()
}

type presenceRequest struct{ channelRequest }

func (r *presenceRequest) run(ctx context.Context, a *API, dst []byte) ([]byte, error) {
	infos, err := a.node.Presence(ctx, r.channel)
	if err != nil {
		return dst, err
	}
	dst = append(dst, `{"presence":{`...)
	for i, client := range slices.Sorted(maps.Keys(infos)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendInfo(append(appendQuoted(dst, client), ':'), infos[client]); err != nil {
			return dst, err
		}
	}
	return append(dst, "}}"...), nil
}

type presenceStatsRequest struct{ channelRequest }

func (r *presenceStatsRequest) run(ctx context.Context, a *API, dst []byte) ([]byte, error) {
	clients, users, err := a.node.PresenceStats(ctx, r.channel)
	if err != nil {
		return dst, err
	}
	dst = appendNumber(append(dst, '{'), "num_clients", clients)
	return append(appendNumber(dst, "num_users", users), '}'), nil
}

type historyRequest struct {
	channelRequest
	limit   int64
	since   *protocol.StreamPosition
	reverse bool
}

func (r *historyRequest) member(d *decoder, name []byte) {
	switch string(name) {
	case "limit":
		d.signed(&r.limit, 32)
	case "since":
		since(d, &r.since)
	case "reverse":
		d.flag(&r.reverse)
	default:
		r.channelRequest.member(d, name)
	}
}

func (r *historyRequest) run(ctx context.Context, a *API, dst []byte) ([]byte, error) {
	past, err := a.node.History(ctx, r.channel, realtime.HistoryFilter{Limit: int(r.limit), Since: r.since, Reverse: r.reverse})
	if err != nil {
		return dst, err
	}
	dst = append(dst, `{"publications":[`...)
	for i, pub := range past.Publications {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendPublication(dst, pub); err != nil {
			return dst, err
		}
	}
	dst = appendQuoted(append(dst, `],"epoch":`...), past.Top.Epoch)
	dst = strconv.AppendUint(append(dst, `,"offset":`...), past.Top.Offset, 10)
	return append(dst, '}'), nil
}

type historyRemoveRequest struct{ channelRequest }

func (r *historyRemoveRequest) run(ctx context.Context, a *API, dst []byte) ([]byte, error) {
	return append(dst, "{}"...), a.node.RemoveHistory(ctx, r.channel)
}

type channelsRequest struct{ pattern string }

func (r *channelsRequest) member(d *decoder, name []byte) {
	if string(name) == "pattern" {
		d.str(&r.pattern)
		return
	}
	d.skip()
}

func (r *channelsRequest) run(_ context.Context, a *API, dst []byte) ([]byte, error) {
	match, err := compileGlob(r.pattern)
	if err != nil {
		return dst, protocol.ErrBadRequest
	}
	channels := a.node.Channels(match)
	dst = append(dst, `{"channels":{`...)
	for i, name := range slices.Sorted(maps.Keys(channels)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, name), `:{"num_clients":`...)
		dst = append(strconv.AppendInt(dst, int64(channels[name]), 10), '}')
	}
	return append(dst, "}}"...), nil
}

type infoRequest struct{}

func (*infoRequest) member(d *decoder, _ []byte) { d.skip() }

func (*infoRequest) run(_ context.Context, a *API, dst []byte) ([]byte, error) {
	n := a.node.Info()
	dst = appendQuoted(append(dst, `{"nodes":[{"uid":`...), n.UID)
	dst = appendQuoted(append(dst, `,"name":`...), n.Name)
	dst = appendQuoted(append(dst, `,"version":`...), n.Version)
	dst = appendNumber(dst, "num_clients", n.Clients)
	dst = appendNumber(dst, "num_users", n.Users)
	dst = appendNumber(dst, "num_channels", n.Channels)
	dst = appendCount(dst, "uptime", uint64(n.Uptime))
	return append(appendNumber(dst, "num_subs", n.Subs), "}]}"...), nil
}

type rpcRequest struct {
	method string
	params []byte
}

func (r *rpcRequest) member(d *decoder, name []byte) {
	switch string(name) {
	case "method":
		d.str(&r.method)
	case "params":
		d.payload(&r.params)
	default:
		d.skip()
	}
}

func (r *rpcRequest) run(ctx context.Context, a *API, dst []byte) ([]byte, error) {
	switch {
	case r.method == "":
		return dst, protocol.ErrBadRequest
	case a.o.RPC == nil:
		return dst, protocol.ErrMethodNotFound
	}
	data, err := a.o.RPC(ctx, r.method, r.params)
	if err != nil {
		return dst, err
	}
	if len(data) > 0 && !protocol.ValidJSON(data) {
		return dst, errNotJSON
	}
	return append(appendRaw(append(dst, '{'), "data", data), '}'), nil
}
