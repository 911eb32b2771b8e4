package delivery

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/webhook"
)

// Bounds of what an owner gives. Lengths of texts are in characters.
const (
	maxName        = 255
	maxURL         = 2048
	maxEventType   = 50
	maxEventTypes  = 50
	maxSecret      = 128
	maxHeaders     = 20
	maxHeaderName  = 256  // bytes
	maxHeaderValue = 4096 // bytes
	minTimeout     = 1000 // ms
	maxTimeout     = 30000
	maxRate        = 1_000_000
	maxRatePeriod  = 86400 // s
	maxInFlight    = 100
	maxRetries     = 20
	maxRetryDelay  = 86400    // s
	maxMetadata    = 4 << 10  // bytes
	maxPEM         = 32 << 10 // characters of one part of tls
)

// Rules are what a body is checked against besides the bounds of its fields.
type Rules struct {
	// CheckURL says what is wrong with a URL as a target, in words for its owner. Nil
	// takes any.
	CheckURL func(url string) error
}

// Create is the body of POST /webhooks.
type Create struct {
	Settings
	// GenerateSecret asks for a secret made by us; Settings.Secret is it.
	GenerateSecret bool
}

// Webhook returns the webhook that c asks for, as of now. One that has to be verified
// is inactive until [Webhook.Verified].
func (c Create) Webhook(now time.Time) Webhook {
	w := Webhook{Settings: c.Settings, IsActive: true, CreatedAt: now, UpdatedAt: now}
	if c.Verify != VerifyNone {
		w.awaitVerification(now)
	}
	return w
}

// field is a member of a body that becomes a setting.
type field struct {
	name   string
	hidden bool // may hold secrets, so it is never repeated
	// empty, if it is there, is what "" does.
	empty func(*Settings)
	read  func(json.RawMessage, *Rules) (func(*Settings), *problem)
}

// as makes a reader of a field from that of its value and what to do with it.
func as[T any](parse func(json.RawMessage, *Rules) (T, *problem), set func(*Settings, T)) func(json.RawMessage, *Rules) (func(*Settings), *problem) {
	return func(raw json.RawMessage, rules *Rules) (func(*Settings), *problem) {
		v, p := parse(raw, rules)
		if p != nil {
			return nil, p
		}
		return func(s *Settings) { set(s, v) }, nil
	}
}

// within, number, flag and oneOf are parsers of values that need no rules.

func within(least, most int) func(json.RawMessage, *Rules) (string, *problem) {
	return func(raw json.RawMessage, _ *Rules) (string, *problem) { return text(raw, least, most) }
}

func number(least, most int) func(json.RawMessage, *Rules) (int, *problem) {
	return func(raw json.RawMessage, _ *Rules) (int, *problem) { return integer(raw, least, most) }
}

func flag(raw json.RawMessage, _ *Rules) (bool, *problem) { return boolean(raw) }

func oneOf(choices ...string) func(json.RawMessage, *Rules) (string, *problem) {
	return func(raw json.RawMessage, _ *Rules) (string, *problem) { return choice(raw, choices...) }
}

// fields are the settings of both bodies, in the order of their errors. event_types
// comes after event_type, which it supersedes.
var fields = []field{
	{name: "name", read: as(within(1, maxName), func(s *Settings, v string) { s.Name = v })},
	{name: "url", read: as(target, func(s *Settings, v string) { s.URL = v })},
	{name: "event_type", read: as(pattern, func(s *Settings, v string) { s.EventTypes = []string{v} })},
	{name: "event_types", read: as(patterns, func(s *Settings, v []string) { s.EventTypes = v })},
	{
		name: "secret", hidden: true, empty: func(s *Settings) { s.Secret = webhook.Secret{} },
		read: as(secret, func(s *Settings, v webhook.Secret) { s.Secret = v }),
	},
	{
		name: "description", empty: func(s *Settings) { s.Description = "" },
		read: as(within(0, 0), func(s *Settings, v string) { s.Description = v }),
	},
	{
		name: "filter", empty: func(s *Settings) { s.Filter = nil },
		read: as(condition, func(s *Settings, v json.RawMessage) { s.Filter = v }),
	},
	{
		name: "payload_format",
		read: as(oneOf("plain", "compact", "envelope", "cloudevents"), func(s *Settings, v string) { s.PayloadFormat = webhook.Format(v) }),
	},
	{name: "ce_headers", read: as(flag, func(s *Settings, v bool) { s.CEHeaders = v })},
	{name: "headers", hidden: true, read: as(headers, func(s *Settings, v map[string]string) { s.Headers = v })},
	{name: "signature_scheme", read: as(oneOf(SchemeHMAC, SchemeEd25519, SchemeBoth), func(s *Settings, v string) { s.SignatureScheme = v })},
	{
		name: "timeout_ms", empty: func(s *Settings) { s.Timeout = 0 },
		read: as(number(minTimeout, maxTimeout), func(s *Settings, v int) { s.Timeout = time.Duration(v) * time.Millisecond }),
	},
	{
		name: "rate_limit", empty: func(s *Settings) { s.RateLimit = nil },
		read: as(rateLimit, func(s *Settings, v *RateLimit) { s.RateLimit = v }),
	},
	{name: "max_in_flight", read: as(number(1, maxInFlight), func(s *Settings, v int) { s.MaxInFlight = v })},
	{name: "ordering", read: as(oneOf(OrderNone, OrderKey, OrderStrict), func(s *Settings, v string) { s.Ordering = v })},
	{name: "on_exhausted", read: as(oneOf(ExhaustedContinue, ExhaustedBlock), func(s *Settings, v string) { s.OnExhausted = v })},
	{
		name: "retry_schedule", empty: func(s *Settings) { s.RetrySchedule = nil },
		read: as(schedule, func(s *Settings, v Schedule) { s.RetrySchedule = v }),
	},
	{
		name: "tls", hidden: true, empty: func(s *Settings) { s.TLS = nil },
		read: as(certificates, func(s *Settings, v *TLS) { s.TLS = v }),
	},
	{name: "metadata", read: as(metadata, func(s *Settings, v json.RawMessage) { s.Metadata = v })},
	{name: "verify", read: as(oneOf(VerifyNone, VerifyPing, VerifyCloudEvents), func(s *Settings, v string) { s.Verify = v })},
}

// body is a body while it is read, with what was wrong so far.
type body struct {
	members map[string]json.RawMessage
	errs    []FieldError
}

// open reads the members of a body. The error is an [InvalidError].
func open(b []byte) (*body, error) {
	whole := func(p *problem, at ...any) error {
		return &InvalidError{[]FieldError{{Type: p.typ, Loc: append([]any{"body"}, at...), Msg: p.msg, Ctx: p.ctx}}}
	}
	trimmed := bytes.TrimSpace(b)
	if len(trimmed) == 0 || isNull(trimmed) {
		return nil, whole(missing())
	}
	if tooDeep(trimmed) { // before anything follows the depth
		return nil, whole(wrong("must not be deeper than %d", maxDepth))
	}
	var raw json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return nil, whole(notJSON(), syntax.Offset)
		}
		return nil, whole(notJSON())
	}
	members, p := object(trimmed)
	if p != nil {
		return nil, whole(&problem{
			typ: "model_attributes_type", msg: "Input should be a valid dictionary or object to extract fields from",
		})
	}
	return &body{members: members}, nil
}

// given returns a member that has a value: it is there and not null.
func (b *body) given(name string) (json.RawMessage, bool) {
	raw, ok := b.members[name]
	return raw, ok && !isNull(raw)
}

// fail records what is wrong with a member; input is nil if it must not be repeated.
func (b *body) fail(name string, p *problem, input json.RawMessage) {
	b.errs = append(b.errs, FieldError{
		Type: p.typ, Loc: append([]any{"body", name}, p.at...), Msg: p.msg, Input: repeated(input), Ctx: p.ctx,
	})
}

// require records a member that is not there, or null. The reference repeats the body
// for the former; what may hold secrets is left out of that.
func (b *body) require(name string) {
	if raw, ok := b.members[name]; ok {
		if isNull(raw) {
			b.fail(name, notString(), raw)
		}
		return
	}
	shown := maps.Clone(b.members)
	for _, f := range fields {
		if f.hidden {
			delete(shown, f.name)
		}
	}
	input, _ := json.Marshal(shown) // of valid JSON
	b.fail(name, missing(), input)
}

// settings reads all fields that are given, and records those required that are not.
func (b *body) settings(rules *Rules, required ...string) (changes []func(*Settings), given []string) {
	for _, f := range fields {
		raw, ok := b.given(f.name)
		if !ok {
			if slices.Contains(required, f.name) {
				b.require(f.name)
			}
			continue
		}
		given = append(given, f.name)
		if f.empty != nil && isEmptyString(raw) {
			changes = append(changes, f.empty)
			continue
		}
		change, p := f.read(raw, rules)
		if p != nil {
			input := raw
			if f.hidden {
				input = nil
			}
			b.fail(f.name, p, input)
			continue
		}
		changes = append(changes, change)
	}
	return changes, given
}

// flag reads a boolean member that is no setting; nil if it is not given.
func (b *body) flag(name string) *bool {
	raw, ok := b.given(name)
	if !ok {
		return nil
	}
	v, p := boolean(raw)
	if p != nil {
		b.fail(name, p, raw)
		return nil
	}
	return &v
}

func (b *body) err() error {
	if len(b.errs) == 0 {
		return nil
	}
	return &InvalidError{b.errs}
}

// ParseCreate reads the body of POST /webhooks; fields it does not know are ignored. The
// error is an [*InvalidError] with all that is wrong.
func ParseCreate(raw []byte, rules Rules) (Create, error) {
	b, err := open(raw)
	if err != nil {
		return Create{}, err
	}
	required := []string{"name", "url"}
	if _, ok := b.given("event_types"); !ok {
		required = append(required, "event_type")
	}
	changes, given := b.settings(&rules, required...)
	c := Create{Settings: defaults()}
	for _, change := range changes {
		change(&c.Settings)
	}
	if b.generates(given) {
		c.GenerateSecret, c.Secret = true, webhook.NewSecret()
	}
	if err := b.err(); err != nil {
		return Create{}, err
	}
	return c, nil
}

// generates tells whether a secret is to be made.
func (b *body) generates(given []string) bool {
	generate := b.flag("generate_secret")
	if generate == nil || !*generate {
		return false
	}
	if slices.Contains(given, "secret") && !isEmptyString(b.members["secret"]) {
		b.fail("generate_secret", wrong("a secret is given, so none can be made"), b.members["generate_secret"])
	}
	return true
}

// The fields that are more than a text, a number or a word.

func target(raw json.RawMessage, rules *Rules) (string, *problem) {
	s, p := text(raw, 1, maxURL)
	if p == nil && rules.CheckURL != nil {
		if err := rules.CheckURL(s); err != nil {
			return "", wrong("%v", err)
		}
	}
	return s, p
}

// pattern reads a type or a pattern. Any text is a type, as in the reference; only a *
// means something, and must stand for a word.
func pattern(raw json.RawMessage, _ *Rules) (string, *problem) {
	s, p := text(raw, 1, maxEventType)
	if p != nil || !event.IsPattern(s) {
		return s, p
	}
	for _, word := range strings.Split(s, ".") {
		if word == "" || word != "*" && strings.Contains(word, "*") {
			return "", wrong("a pattern is words with dots between, and * stands for a whole word")
		}
	}
	return s, nil
}

func patterns(raw json.RawMessage, rules *Rules) ([]string, *problem) {
	elements, p := list(raw, 1, maxEventTypes)
	if p != nil {
		return nil, p
	}
	all := make([]string, len(elements))
	for i, element := range elements {
		if all[i], p = pattern(element, rules); p != nil {
			return nil, p.below(i)
		}
	}
	return all, nil
}

func secret(raw json.RawMessage, _ *Rules) (webhook.Secret, *problem) {
	s, p := text(raw, 1, maxSecret)
	if p != nil {
		return webhook.Secret{}, p
	}
	parsed, err := webhook.ParseSecret(s)
	if err != nil {
		return webhook.Secret{}, wrong("%v", err)
	}
	return parsed, nil
}

// maxConditions bounds a filter, beside its size and depth (spec/webhooks.md §4.2).
const maxConditions = 32

func condition(raw json.RawMessage, _ *Rules) (json.RawMessage, *problem) {
	if raw[0] != '{' {
		return nil, notObject()
	}
	raw = compact(raw)
	filter, err := event.ParseFilter(raw, "type", "payload") // what Document has
	var bad *event.FilterError
	switch {
	case errors.As(err, &bad) && bad.Path != "":
		return nil, wrong("%s: %s", bad.Path, bad.Detail)
	case errors.As(err, &bad):
		return nil, wrong("%s", bad.Detail)
	case filter.Empty():
		return nil, nil
	}
	var v map[string]any
	_ = json.Unmarshal(raw, &v) // ParseFilter took it
	if n := conditions(v); n > maxConditions {
		return nil, wrong("has %d conditions; %d are allowed", n, maxConditions)
	}
	return raw, nil
}

// conditions counts what a filter asks of paths: each operator is one.
func conditions(filter map[string]any) (n int) {
	for key, v := range filter {
		inner, isObject := v.(map[string]any)
		switch {
		case key == "$or":
			ones, _ := v.([]any)
			for _, one := range ones {
				m, _ := one.(map[string]any)
				n += conditions(m)
			}
		case key == "$not":
			n += conditions(inner)
		case isObject:
			n += len(inner)
		default:
			n++
		}
	}
	return n
}

func headers(raw json.RawMessage, _ *Rules) (map[string]string, *problem) {
	m, p := object(raw)
	if p != nil {
		return nil, p
	}
	if len(m) > maxHeaders {
		return nil, wrong("has %d headers; %d are allowed", len(m), maxHeaders)
	}
	all, seen := make(map[string]string, len(m)), make(map[string]bool, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) { // in order, so that the same mistake is told each time
		lower := strings.ToLower(name)
		if p := headerName(name, lower); p != nil {
			return nil, p.below(name)
		}
		if seen[lower] {
			return nil, wrong("is given twice, in other letters").below(name)
		}
		seen[lower] = true
		value, p := text(m[name], 0, 0)
		if p == nil {
			p = headerValue(value)
		}
		if p != nil {
			return nil, p.below(name)
		}
		all[name] = value
	}
	return all, nil
}

func headerName(name, lower string) *problem {
	switch {
	case name == "" || len(name) > maxHeaderName || strings.ContainsFunc(name, func(r rune) bool { return !isTokenChar(r) }):
		return wrong("is no name of a header: 1 to %d letters, digits and signs of !#$%%&'*+-.^_`|~", maxHeaderName)
	case webhook.OwnHeader(lower):
		return wrong("is a header that only the server sets")
	}
	return nil
}

// isTokenChar tells whether r may stand in the name of a header (RFC 9110 §5.6.2).
func isTokenChar(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

// headerValue refuses what would end the header, or is changed on its way.
func headerValue(value string) *problem {
	switch {
	case len(value) > maxHeaderValue:
		return wrong("has %d bytes; %d are allowed", len(value), maxHeaderValue)
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return wrong("must have no control characters")
	case strings.Trim(value, " \t") != value:
		return wrong("must not begin or end with white space")
	}
	return nil
}

func rateLimit(raw json.RawMessage, _ *Rules) (*RateLimit, *problem) {
	m, p := object(raw)
	if p != nil {
		return nil, p
	}
	if len(m) == 0 {
		return nil, nil
	}
	var limit RateLimit
	for _, part := range []struct {
		name string
		most int
		to   *int
	}{{"max", maxRate, &limit.Max}, {"per_seconds", maxRatePeriod, &limit.PerSeconds}} {
		value, ok := m[part.name]
		if !ok {
			return nil, missing().below(part.name)
		}
		if *part.to, p = integer(value, 1, part.most); p != nil {
			return nil, p.below(part.name)
		}
	}
	return &limit, nil
}

func schedule(raw json.RawMessage, _ *Rules) (Schedule, *problem) {
	elements, p := list(raw, 0, maxRetries)
	if p != nil {
		return nil, p
	}
	all := make(Schedule, len(elements))
	for i, element := range elements {
		seconds, p := integer(element, 1, maxRetryDelay)
		if p != nil {
			return nil, p.below(i)
		}
		all[i] = time.Duration(seconds) * time.Second
	}
	return all, nil
}

func certificates(raw json.RawMessage, _ *Rules) (*TLS, *problem) {
	m, p := object(raw)
	if p != nil {
		return nil, p
	}
	var t TLS
	for _, part := range []struct {
		name string
		to   *string
	}{{"client_cert", &t.ClientCert}, {"client_key", &t.ClientKey}, {"ca", &t.CA}} {
		value, ok := m[part.name]
		if !ok || isNull(value) {
			continue
		}
		if *part.to, p = text(value, 0, maxPEM); p != nil {
			return nil, p.below(part.name)
		}
	}
	switch {
	case t == TLS{}:
		return nil, nil
	case t.ClientCert == "" && t.ClientKey != "":
		return nil, missing().below("client_cert")
	case t.ClientCert != "" && t.ClientKey == "":
		return nil, missing().below("client_key")
	}
	if t.ClientCert != "" {
		if _, err := tls.X509KeyPair([]byte(t.ClientCert), []byte(t.ClientKey)); err != nil {
			return nil, wrong("client_cert and client_key are no pair in PEM") // err may show a part of the key
		}
	}
	if t.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(t.CA)) {
		return nil, wrong("has no certificate in PEM").below("ca")
	}
	return &t, nil
}

func metadata(raw json.RawMessage, _ *Rules) (json.RawMessage, *problem) {
	if raw[0] != '{' {
		return nil, notObject()
	}
	raw = compact(raw)
	if len(raw) > maxMetadata {
		return nil, wrong("has %d bytes; %d are allowed", len(raw), maxMetadata)
	}
	return raw, nil
}
