package windi

import (
	"encoding/json"
	"net/http"
	"strings"
)

type presenceReply struct {
	Presence map[string]presentInfo   `json:"presence"`
	Clients  map[string]presentClient `json:"clients"`
	// The numbers are of connections and of people.
	NumClients int `json:"num_clients"`
	NumUsers   int `json:"num_users"`
}

// presentInfo is a connection as the realtime server tells of it.
type presentInfo struct {
	Client   string          `json:"client"`
	User     string          `json:"user"`
	ConnInfo json.RawMessage `json:"conn_info"`
	ChanInfo json.RawMessage `json:"chan_info"`
}

type presentClient struct {
	User     string `json:"user"`
	UserName string `json:"user_name"`
	// ConnectedAt is null for connections of other nodes.
	ConnectedAt *int64 `json:"connected_at"`
}

// presence tells who is subscribed to the channel of a chat (chat-api.md §B.8).
func (c *Contract) presence(r *request) (reply, error) {
	id, ok := parseID(strings.TrimPrefix(r.PathValue("chat"), chatChannel))
	if !ok {
		return reply{}, &refusal{http.StatusBadRequest, "expected an id or 'chat:id'", "нужен номер или 'chat:id'"}
	}
	user, err := r.user()
	if err != nil {
		return reply{}, err
	}
	_, chat, err := c.o.Chats.Membership(r.Context(), user, id)
	if err != nil {
		return reply{}, err
	}
	channel := chatChannel + decimal(id)
	out := presenceReply{Presence: map[string]presentInfo{}, Clients: map[string]presentClient{}}
	out.NumClients, out.NumUsers, err = c.o.Realtime.PresenceStats(r.Context(), channel)
	if err != nil || chat.MemberCount > c.o.Chats.Options().LargeGroup {
		return reply{body: out}, err
	}
	there, err := c.o.Realtime.Presence(r.Context(), channel)
	if err != nil {
		return reply{}, err
	}
	users := make(map[string]bool, len(there))
	for client, info := range there {
		var conn struct {
			Name string `json:"name"`
		}
		_ = json.Unmarshal(info.ConnInfo, &conn) // a token of the operator's own may say anything
		out.Presence[client] = presentInfo{client, info.User, orNull(info.ConnInfo), orNull(info.ChanInfo)}
		out.Clients[client] = presentClient{info.User, conn.Name, c.arrivals.of(client)}
		users[info.User] = true
	}
	out.NumClients, out.NumUsers = len(there), len(users) // of this very moment
	return reply{body: out}, nil
}

// orNull is JSON, or null for what is none.
func orNull(b []byte) json.RawMessage {
	if !json.Valid(b) {
		return json.RawMessage("null")
	}
	return b
}

type statsReply struct {
	Clients  int    `json:"num_clients"`
	Users    int    `json:"num_users"`
	Channels int    `json:"num_channels"`
	Subs     int    `json:"num_subscriptions"`
	Node     string `json:"node"`
	Version  string `json:"version"`
	// Uptime is in seconds.
	Uptime uint32 `json:"uptime"`
}

// stats tells an administrator of this node's connections.
func (c *Contract) stats(*request) (reply, error) {
	i := c.o.Realtime.Info()
	return reply{body: statsReply{i.Clients, i.Users, i.Channels, i.Subs, i.Name, i.Version, i.Uptime}}, nil
}

type healthReply struct {
	Status  string `json:"status"`
	Version string `json:"version,omitempty"`
}

// health tells whether the server takes requests.
func (c *Contract) health(*request) (reply, error) {
	if c.o.Ready != nil && !c.o.Ready() {
		return reply{status: http.StatusServiceUnavailable, body: healthReply{"unavailable", c.o.Version}}, nil
	}
	return reply{body: healthReply{"ok", c.o.Version}}, nil
}
