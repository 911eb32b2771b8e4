package identity

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ConnectionClaims are what a connection token says (auth-and-channels.md §2).
type ConnectionClaims struct {
	// User is empty for an anonymous connection.
	User string
	// ExpireAt is when the connection expires, in seconds since 1970; 0 is never. It may
	// be past, and is at most 365 days ahead.
	ExpireAt int64
	// Info is what others see of the connection, Meta a JSON object that only backends
	// see; nil if absent.
	Info, Meta []byte
	// Channels and Subs are the server-side subscriptions; Channels is nil if there are
	// Subs.
	Channels []string
	Subs     map[string]SubClaims
}

// SubClaims are what a connection token says of one server-side subscription.
type SubClaims struct {
	// Info is the subscription's chan_info, Data is told to the client; nil if absent.
	Info, Data []byte
	Override   Override
}

// SubscriptionClaims are what a subscription token says (auth-and-channels.md §3).
type SubscriptionClaims struct {
	// User must be the connection's, Channel the requested one, and Client, unless
	// empty, the connection's id.
	User, Channel, Client string
	// ExpireAt is when the subscription expires, like that of [ConnectionClaims].
	ExpireAt int64
	// Info is the subscription's chan_info, Data is told to the client; nil if absent.
	Info, Data []byte
	Override   Override
}

// Override replaces options of a channel's namespace where not nil.
type Override struct {
	Presence, JoinLeave, ForceRecovery, ForcePositioning, ForcePushJoinLeave *bool
}

// claims is a token's payload as it is written. Members of a wrong type, repeated
// members and bad UTF-8 make it invalid; unknown members are ignored.
type claims struct {
	Sub       jsontext.Value          `json:"sub"`
	Exp       unixTime                `json:"exp"`
	ExpireAt  *int64                  `json:"expire_at"`
	Iat       unixTime                `json:"iat"`
	Nbf       unixTime                `json:"nbf"`
	Jti       string                  `json:"jti"`
	Aud       audience                `json:"aud"`
	Iss       string                  `json:"iss"`
	Info      jsontext.Value          `json:"info"`
	B64Info   string                  `json:"b64info"`
	Data      jsontext.Value          `json:"data"`
	B64Data   string                  `json:"b64data"`
	Channels  []string                `json:"channels"`
	Subs      map[string]subscription `json:"subs"`
	Meta      jsontext.Value          `json:"meta"`
	Channel   string                  `json:"channel"`
	Client    string                  `json:"client"`
	Overrides overrides               `json:"override"`
}

type subscription struct {
	Info      jsontext.Value `json:"info"`
	B64Info   string         `json:"b64info"`
	Data      jsontext.Value `json:"data"`
	B64Data   string         `json:"b64data"`
	Overrides overrides      `json:"override"`
}

type overrides struct {
	Presence           boolValue `json:"presence"`
	JoinLeave          boolValue `json:"join_leave"`
	ForceRecovery      boolValue `json:"force_recovery"`
	ForcePositioning   boolValue `json:"force_positioning"`
	ForcePushJoinLeave boolValue `json:"force_push_join_leave"`
}

type boolValue struct {
	Value *bool `json:"value"`
}

func (o *overrides) override() Override {
	return Override{
		Presence: o.Presence.value(), JoinLeave: o.JoinLeave.value(), ForceRecovery: o.ForceRecovery.value(),
		ForcePositioning: o.ForcePositioning.value(), ForcePushJoinLeave: o.ForcePushJoinLeave.value(),
	}
}

func (b boolValue) value() *bool { return b.Value }

// decode reads a payload. userClaim, unless empty, names the member that is the user
// instead of sub.
func (c *claims) decode(payload []byte, userClaim string) (user string, err error) {
	if jsontext.Value(payload).Kind() != '{' {
		return "", errors.New("claims are not an object")
	}
	if err := json.Unmarshal(payload, c); err != nil {
		return "", fmt.Errorf("claims: %v", err)
	}
	if m := present(c.Meta); m != nil && m.Kind() != '{' {
		return "", errors.New("claim meta is not an object")
	}
	if userClaim == "" {
		if c.Sub.Kind() == '0' {
			return "", errors.New("claim sub is not a string")
		}
		return text(c.Sub, "sub")
	}
	var all map[string]jsontext.Value
	if err := json.Unmarshal(payload, &all); err != nil {
		return "", fmt.Errorf("claims: %v", err)
	}
	return text(all[userClaim], userClaim)
}

// text returns the text of a string or number, or "" if v is absent or null.
func text(v jsontext.Value, name string) (string, error) {
	switch {
	case present(v) == nil:
		return "", nil
	case v.Kind() == '0':
		return string(v), nil
	case v.Kind() == '"':
		s, err := jsontext.AppendUnquote(nil, v)
		return string(s), err
	}
	return "", fmt.Errorf("claim %s is not a string", name)
}

// present returns v unless it is absent or null.
func present(v jsontext.Value) jsontext.Value {
	if len(v) == 0 || v.Kind() == 'n' {
		return nil
	}
	return v
}

// expiry returns when the connection or subscription expires; c has been found valid
// at now.
func (c *claims) expiry(now int64) int64 {
	at := c.Exp.at
	if c.ExpireAt != nil {
		at = max(*c.ExpireAt, 0)
	}
	return min(at, now+int64(maxValidity/time.Second))
}

// maxValidity bounds how far ahead an expiry may lie (auth-and-channels.md §2).
const maxValidity = 365 * 24 * time.Hour

// payload returns what b64 encodes, or plain if it is empty; nil means absent.
func payload(plain jsontext.Value, b64, name string) ([]byte, error) {
	if b64 == "" {
		return present(plain), nil
	}
	b, err := base64.StdEncoding.DecodeString(b64)
	if err != nil {
		return nil, fmt.Errorf("claim b64%s: %v", name, err)
	}
	return b, nil
}

func payloads(info jsontext.Value, b64info string, data jsontext.Value, b64data string) (i, d []byte, err error) {
	if i, err = payload(info, b64info, "info"); err != nil {
		return nil, nil, err
	}
	d, err = payload(data, b64data, "data")
	return i, d, err
}

// unixTime is a time claim, in seconds since 1970: a number, whose fraction is cut
// off, or a string that holds one. Null means absent.
type unixTime struct {
	set bool
	at  int64
}

// UnmarshalJSONFrom reads the claim.
func (t *unixTime) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	tok, err := d.ReadToken()
	if err != nil {
		return err
	}
	switch tok.Kind() {
	case 'n':
		return nil
	case '0', '"':
		at, err := seconds(tok.String())
		if err != nil {
			return err
		}
		*t = unixTime{set: true, at: at}
		return nil
	}
	return errors.New("a time is neither a number nor a string")
}

// seconds reads a time, which is cut to what arithmetic on it cannot overflow.
func seconds(s string) (int64, error) {
	const limit = 1 << 53
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return max(-limit, min(n, limit)), nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if errors.Is(err, strconv.ErrRange) {
		err = nil
	}
	if err != nil || math.IsNaN(f) {
		return 0, fmt.Errorf("%.20q is no time", s)
	}
	return int64(max(-limit, min(f, limit))), nil
}

// audience is the claim aud: a string or a list of them.
type audience []string

// UnmarshalJSONFrom reads the claim.
func (a *audience) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == '[' {
		return json.UnmarshalDecode(d, (*[]string)(a))
	}
	var s *string
	if err := json.UnmarshalDecode(d, &s); err != nil || s == nil {
		return err
	}
	*a = audience{*s}
	return nil
}

func (a audience) has(s string) bool { return slices.Contains(a, s) }
