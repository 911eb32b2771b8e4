package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"time"
)

type reportCmd struct {
	Create reportCreateCmd `cmd:"" help:"Have a report made, and wait for it."`
	List   reportListCmd   `cmd:"" help:"List reports, the newest first."`
	Show   reportShowCmd   `cmd:"" help:"Print how far a report is."`
	Fetch  reportFetchCmd  `cmd:"" help:"Write a report to a file, or to the output."`
}

// madeReport is what is printed of a report.
type madeReport struct {
	ID        string  `json:"id"`
	Type      string  `json:"type"`
	Format    string  `json:"format"`
	From      *string `json:"from"`
	To        *string `json:"to"`
	Status    string  `json:"status"`
	CreatedAt *string `json:"created_at"`
	Size      int64   `json:"size"`
}

type reportCreateCmd struct {
	backend
	From   string `placeholder:"TIME" help:"Begin, as 2026-05-01 or 2026-05-01T12:00:00Z; 7 days before --to if not given."`
	To     string `placeholder:"TIME" help:"End, which is not part of it; now if not given."`
	Format string `enum:"json,csv" default:"csv" help:"json or csv."`
	Output string `short:"o" placeholder:"FILE" help:"File to write, which must not exist; the output if not given."`
	Type   string `arg:"" enum:"performance,usage,security,trust" help:"performance, usage, security or trust."`
}

func (c *reportCreateCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		body := map[string]any{"type": c.Type, "format": c.Format}
		if c.From != "" {
			body["from"] = c.From
		}
		if c.To != "" {
			body["to"] = c.To
		}
		return s.working(func() error {
			var r madeReport
			if err := s.post("/reports", body, &r); err != nil {
				return fmt.Errorf("create report: %w", err)
			}
			for late := time.Now().Add(patience); r.Status == "pending" && time.Now().Before(late); time.Sleep(askEvery) {
				if err := s.get("/reports/"+url.PathEscape(r.ID), &r); err != nil {
					return fmt.Errorf("create report: %w", err)
				}
			}
			if r.Status != "completed" {
				return fmt.Errorf("create report: %s is %s; the server's log says why", r.ID, r.Status)
			}
			return s.fetchReport(r.ID, c.Output)
		})
	})
}

// fetchReport writes the file of a report.
func (s *session) fetchReport(id, file string) error {
	path := "/reports/" + url.PathEscape(id) + "/file"
	if file == "" {
		if _, err := s.Fetch(s.ctx, path, s.stdout); err != nil {
			return fmt.Errorf("fetch report %s: %w", id, err)
		}
		return nil
	}
	var n int64
	err := writeWhole(file, func(w io.Writer) (err error) {
		n, err = s.Fetch(s.ctx, path, w)
		return err
	})
	if err != nil {
		return fmt.Errorf("fetch report %s: %w", id, err)
	}
	return s.say("wrote %s, %s", file, size(n))
}

type reportListCmd struct {
	backend
	Limit most `short:"n" default:"50" help:"Most reports."`
}

func (c *reportListCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		objects, err := s.pages("/reports", url.Values{}, "reports", int(c.Limit))
		if err != nil {
			return fmt.Errorf("list reports: %w", err)
		}
		return s.list("ID TYPE FORMAT STATUS FROM TO SIZE CREATED", objects, func(o json.RawMessage) ([]any, error) {
			var r madeReport
			err := json.Unmarshal(o, &r)
			return []any{r.ID, r.Type, r.Format, r.Status, day(r.From), day(r.To), size(r.Size), day(r.CreatedAt)}, err
		})
	})
}

type reportShowCmd struct {
	backend
	Report string `arg:"" help:"Id of the report."`
}

func (c *reportShowCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		var object json.RawMessage
		if err := s.get("/reports/"+url.PathEscape(c.Report), &object); err != nil {
			return fmt.Errorf("show report %s: %w", c.Report, err)
		}
		return s.show(object)
	})
}

type reportFetchCmd struct {
	backend
	Output string `short:"o" placeholder:"FILE" help:"File to write, which must not exist; the output if not given."`
	Report string `arg:"" help:"Id of the report."`
}

func (c *reportFetchCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error { return s.fetchReport(c.Report, c.Output) })
}
