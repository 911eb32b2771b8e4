package alerts

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kuranty/kuranty/event"
)

var (
	// ErrNotFound means that there is no such alert or scan.
	ErrNotFound = errors.New("no such alert or scan")
	// ErrResolved means that an alert is resolved and cannot be acknowledged any more.
	ErrResolved = errors.New("the alert is resolved")
	// ErrCursor means that a cursor is none of ours.
	ErrCursor = errors.New("unknown cursor")
)

// FieldError says that a value cannot be taken.
type FieldError struct {
	Field string
	// Reason completes a sentence that begins with the name of the field.
	Reason string
}

func (e *FieldError) Error() string { return e.Field + " " + e.Reason }

// States of an alert.
const (
	Active       = "active"
	Acknowledged = "acknowledged"
	Resolved     = "resolved"
)

// Severities. The server's own alerts and all findings use the last four; the others are
// taken from services (event-gateway.md §5.1): info is below low, warning is as medium.
const (
	Info     = "info"
	Warning  = "warning"
	Low      = "low"
	Medium   = "medium"
	High     = "high"
	Critical = "critical"
)

var ranks = map[string]int{Info: 0, Low: 1, Warning: 2, Medium: 2, High: 3, Critical: 4}

// Alert is something that should be looked at. Times are milliseconds since 1970, 0 is
// never; people and services are named as in events ([event.User], [event.Service]).
type Alert struct {
	ID int64
	// Kind and Subject say what is folded: of both the same there is one alert that is not
	// resolved. Subject is as "user:88", "address:192.0.2.1" or whatever a service says.
	Kind, Subject string
	// User is the person it is about, 0 if it is about nobody.
	User                       int64
	Title, Description         string
	Severity, Category, Source string
	Metadata                   json.RawMessage
	Status                     string
	Count                      int64
	CreatedAt, LastSeenAt      int64
	UpdatedAt                  int64
	UpdatedBy                  string
	AcknowledgedAt, ResolvedAt int64
	AcknowledgedBy, ResolvedBy string
	// Announced is the count that the last event told of, sent at AnnouncedAt; the latter
	// is 0 as long as no folding has been told of.
	Announced, AnnouncedAt int64
}

// The prefixes of ids as others see them.
const (
	alertPrefix = "alr_"
	scanPrefix  = "scn_"
)

// AlertName is the id of an alert as others see it, ScanName that of a scan.
func AlertName(id int64) string { return alertPrefix + strconv.FormatInt(id, 10) }

// ScanName is the id of a scan as others see it.
func ScanName(id int64) string { return scanPrefix + strconv.FormatInt(id, 10) }

// ParseAlert returns the number in the id of an alert; the error is [ErrNotFound].
func ParseAlert(name string) (int64, error) { return parse(name, alertPrefix) }

// ParseScan is ParseAlert for scans.
func ParseScan(name string) (int64, error) { return parse(name, scanPrefix) }

func parse(name, prefix string) (int64, error) {
	digits, ok := strings.CutPrefix(name, prefix)
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || n <= 0 || strconv.FormatInt(n, 10) != digits {
		return 0, ErrNotFound
	}
	return n, nil
}

// payload is the alert as security.alert.created shows it.
func (a *Alert) payload() (event.Alert, error) {
	p := event.Alert{
		ID: AlertName(a.ID), Title: a.Title, Description: a.Description, Severity: a.Severity, Category: a.Category,
		Source: a.Source, CreatedAt: time.UnixMilli(a.CreatedAt).UTC(),
	}
	if err := json.Unmarshal(a.Metadata, &p.Metadata); err != nil {
		return p, fmt.Errorf("metadata of %s: %w", p.ID, err)
	}
	return p, nil
}

// created and updated are the events that announce the alert.
func (a *Alert) created() (event.Event, error) {
	p, err := a.payload()
	if err != nil {
		return event.Event{}, err
	}
	e, err := event.New(event.AlertCreated, time.UnixMilli(a.CreatedAt), p)
	e.Actor = a.UpdatedBy
	return e, err
}

func (a *Alert) updated(at int64) (event.Event, error) {
	p, err := a.payload()
	if err != nil {
		return event.Event{}, err
	}
	e, err := event.New(event.AlertUpdated, time.UnixMilli(at), event.ChangedAlert{
		Alert: p, Status: a.Status, UpdatedBy: who(a.UpdatedBy), UpdatedAt: time.UnixMilli(a.UpdatedAt).UTC(),
	})
	e.Actor = a.UpdatedBy
	return e, err
}

// who names an actor in a payload: people by their number.
func who(actor string) string { return strings.TrimPrefix(actor, "user:") }

// countIn writes what metadata says of how often it was: the member attempts, next to
// what else there is.
func (a *Alert) countIn() error {
	m := map[string]any{}
	if err := json.Unmarshal(a.Metadata, &m); err != nil {
		return fmt.Errorf("metadata of alert %d: %w", a.ID, err)
	}
	if _, counted := m["attempts"]; !counted {
		return nil
	}
	m["attempts"] = a.Count
	var err error
	a.Metadata, err = json.Marshal(m)
	return err
}
