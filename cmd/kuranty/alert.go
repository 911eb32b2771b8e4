package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

type alertCmd struct {
	List        alertListCmd        `cmd:"" help:"List alerts, the newest first."`
	Show        alertShowCmd        `cmd:"" help:"Print all of an alert."`
	Raise       alertRaiseCmd       `cmd:"" help:"Raise an alert, or repeat the one that stands."`
	Acknowledge alertAcknowledgeCmd `cmd:"" help:"Say that somebody takes care of an alert."`
	Resolve     alertResolveCmd     `cmd:"" help:"Say that what an alert tells of is over."`
}

// alert is what is printed of one.
type alert struct {
	ID         string  `json:"id"`
	Subject    string  `json:"subject"`
	Title      string  `json:"title"`
	Severity   string  `json:"severity"`
	Status     string  `json:"status"`
	Count      int64   `json:"count"`
	LastSeenAt *string `json:"last_seen_at"`
}

type alertListCmd struct {
	backend
	Status   string `enum:"open,active,acknowledged,resolved,any" default:"open" help:"active, acknowledged, resolved, open (whatever is not resolved) or any."`
	Severity string `enum:"info,low,medium,high,critical,warning,any" default:"any" help:"info, low, medium, high, critical or warning."`
	Kind     string `help:"Only of this kind, as failed_sign_ins."`
	User     string `placeholder:"USER" help:"Only alerts about this person."`
	Limit    most   `short:"n" default:"50" help:"Most alerts."`
}

func (c *alertListCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		q := url.Values{}
		for name, value := range map[string]string{"status": c.Status, "severity": c.Severity, "kind": c.Kind} {
			if value != "any" && value != "" {
				q.Set(name, value)
			}
		}
		if err := s.only(q, "user_id", c.User); err != nil {
			return err
		}
		objects, err := s.pages("/alerts", q, "alerts", int(c.Limit))
		if err != nil {
			return fmt.Errorf("list alerts: %w", err)
		}
		return s.list("ID SEVERITY STATUS COUNT LAST TITLE SUBJECT", objects, func(o json.RawMessage) ([]any, error) {
			var a alert
			err := json.Unmarshal(o, &a)
			return []any{a.ID, a.Severity, a.Status, a.Count, day(a.LastSeenAt), a.Title, a.Subject}, err
		})
	})
}

// alertArg names an alert.
type alertArg struct {
	Alert string `arg:"" help:"Id of the alert, as alr_7."`
}

func (c *alertArg) path(more string) string { return "/alerts/" + url.PathEscape(c.Alert) + more }

type alertShowCmd struct {
	backend
	alertArg
}

func (c *alertShowCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		var object json.RawMessage
		if err := s.get(c.path(""), &object); err != nil {
			return fmt.Errorf("show alert %s: %w", c.Alert, err)
		}
		return s.show(object)
	})
}

type alertRaiseCmd struct {
	backend
	Severity    string `enum:"info,low,medium,high,critical,warning" default:"medium" help:"info, low, medium, high, critical or warning."`
	Kind        string `help:"A word of your own, as disk; with the subject it says which alert is repeated."`
	Subject     string `help:"What it is about, as db1; the title if not given."`
	Description string `help:"More text; - reads it from the input."`
	Category    string `help:"A word for people, as storage."`
	Source      string `help:"Who noticed it, as smartd."`
	Title       string `arg:"" help:"What happened."`
}

func (c *alertRaiseCmd) Run(g *globals) error {
	text, err := argument(c.Description)
	if err != nil {
		return err
	}
	return c.run(g, func(s *session) error {
		body := map[string]any{"title": c.Title, "severity": c.Severity}
		for name, value := range map[string]string{
			"kind": c.Kind, "subject": c.Subject, "description": string(text), "category": c.Category, "source": c.Source,
		} {
			if value != "" {
				body[name] = value
			}
		}
		return s.alert("raise alert", "/alerts", body)
	})
}

// alert makes a call that answers with an alert, and says what that is now.
func (s *session) alert(what, path string, body any) error {
	var object json.RawMessage
	if err := s.post(path, body, &object); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	var a alert
	if shown, err := s.read(object, &a); shown || err != nil {
		return err
	}
	return s.say("alert %s is %s, seen %s", a.ID, a.Status, count(int(a.Count), "time"))
}

type alertAcknowledgeCmd struct {
	backend
	alertArg
}

func (c *alertAcknowledgeCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error { return s.alert("acknowledge alert "+c.Alert, c.path("/acknowledge"), nil) })
}

type alertResolveCmd struct {
	backend
	alertArg
}

func (c *alertResolveCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error { return s.alert("resolve alert "+c.Alert, c.path("/resolve"), nil) })
}

type scanCmd struct {
	Run  scanRunCmd  `cmd:"" help:"Look for what weakens the promises of the server."`
	List scanListCmd `cmd:"" help:"List scans, the newest first."`
	Show scanShowCmd `cmd:"" help:"Print what a scan found."`
}

// scan is what is printed of one.
type scan struct {
	ID        string  `json:"id"`
	Type      string  `json:"type"`
	Target    *string `json:"target"`
	Status    string  `json:"status"`
	Error     *string `json:"error"`
	StartedAt *string `json:"started_at"`
	Findings  []struct {
		Severity  string  `json:"severity"`
		Title     string  `json:"title"`
		Detail    string  `json:"detail"`
		Key       *string `json:"key"`
		Guarantee string  `json:"guarantee"`
	} `json:"findings"`
}

// scan prints a scan.
func (s *session) scan(object json.RawMessage) error {
	var r scan
	if shown, err := s.read(object, &r); shown || err != nil {
		return err
	}
	for _, f := range r.Findings {
		where := f.Guarantee
		if f.Key != nil {
			where += ", " + *f.Key
		}
		if err := s.say("%s", plain(fmt.Sprintf("%-8s  %s: %s (%s)", f.Severity, f.Title, f.Detail, where))); err != nil {
			return err
		}
	}
	if r.Error != nil {
		return fmt.Errorf("scan %s failed: %s", r.ID, *r.Error)
	}
	if len(r.Findings) == 0 {
		return s.say("scan %s passed: nothing was found", r.ID)
	}
	return s.say("scan %s: %s", r.ID, count(len(r.Findings), "finding"))
}

type scanRunCmd struct {
	backend
	Quick  bool   `help:"Look at the configuration only."`
	Target string `help:"Only what belongs to an area (listeners, tokens, accounts, keys, storage, privacy), a guarantee, or a key of the configuration."`
	Fail   bool   `help:"Exit with 1 if anything was found."`
}

func (scanRunCmd) Help() string {
	return `It looks at the server that uses the data folder, or, while none runs, at what would run with this configuration.`
}

// Run is called by kong.
func (c *scanRunCmd) Run(g *globals) error {
	body := map[string]any{"type": "full"}
	switch {
	case c.Quick && c.Target != "":
		return usageError{errors.New("give --quick or --target, not both")}
	case c.Quick:
		body["type"] = "quick"
	case c.Target != "":
		body["type"], body["target"] = "targeted", c.Target
	}
	return c.run(g, func(s *session) error {
		var object json.RawMessage
		if err := s.post("/scans", body, &object); err != nil {
			return fmt.Errorf("scan: %w", err)
		}
		var r scan
		if err := json.Unmarshal(object, &r); err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		if err := s.scan(object); err != nil {
			return err
		}
		if c.Fail && r.Status != "passed" {
			return fmt.Errorf("scan %s did not pass", r.ID)
		}
		return nil
	})
}

type scanListCmd struct {
	backend
	Limit most `short:"n" default:"20" help:"Most scans."`
}

// Run is called by kong.
func (c *scanListCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		objects, err := s.pages("/scans", url.Values{}, "scans", int(c.Limit))
		if err != nil {
			return fmt.Errorf("list scans: %w", err)
		}
		return s.list("ID TYPE TARGET STATUS FINDINGS STARTED", objects, func(o json.RawMessage) ([]any, error) {
			var r scan
			err := json.Unmarshal(o, &r)
			return []any{r.ID, r.Type, orDash(r.Target), r.Status, len(r.Findings), day(r.StartedAt)}, err
		})
	})
}

type scanShowCmd struct {
	backend
	Scan string `arg:"" help:"Id of the scan, as scn_7."`
}

// Run is called by kong.
func (c *scanShowCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		var object json.RawMessage
		if err := s.get("/scans/"+url.PathEscape(strings.TrimSpace(c.Scan)), &object); err != nil {
			return fmt.Errorf("show scan %s: %w", c.Scan, err)
		}
		return s.scan(object)
	})
}
