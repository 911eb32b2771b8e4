package analytics

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Row is a line of a report: how often something happened, or what a metric was.
type Row struct {
	// Section says what the row is about, Day of when it is: milliseconds since 1970, 0 is
	// the whole time, negative what is now.
	Section string
	Day     int64
	Name    string
	Server  string
	Unit    string
	Count   int64
	// Values are of rows about metrics.
	Values *Point
}

// columns are those of a report in CSV; in JSON they are the members of a row.
var columns = []string{"section", "period", "name", "server", "unit", "count", "avg", "min", "max", "last"}

// Now is the day of a row that tells how things are when the report is made.
const Now = -1

// period is the time of a row in words.
func (r *Row) period() string {
	switch {
	case r.Day == Now:
		return "now"
	case r.Values != nil || r.Day == 0:
		return "total"
	}
	return time.UnixMilli(r.Day).UTC().Format(time.DateOnly)
}

// compose makes the file of a report.
func (s *Service) compose(ctx context.Context, r *Report) (string, error) {
	var rows []Row
	var err error
	if r.Type == Performance {
		rows, err = s.performance(ctx, r)
	} else {
		err = s.store.View(ctx, func(tx Tx) error {
			switch r.Type {
			case Usage:
				rows, err = tx.Usage(ctx, r.From, r.To)
			case Security:
				rows, err = tx.Security(ctx, r.From, r.To)
			default:
				rows, err = tx.Trust(ctx, r.From, r.To)
			}
			return err
		})
	}
	if err != nil {
		return "", fmt.Errorf("count for %s report: %w", r.Type, err)
	}
	if r.Format == CSV {
		return asCSV(rows)
	}
	return asJSON(r, rows)
}

// performance is what each series was.
func (s *Service) performance(ctx context.Context, r *Report) (rows []Row, err error) {
	var last *Series
	for more := true; more; {
		var list []Series
		err := s.store.View(ctx, func(tx Tx) error {
			name, server := "", ""
			if last != nil {
				name, server = last.Name, last.Server
			}
			if list, err = tx.Series(ctx, "", "", last != nil, name, server, perStep); err != nil {
				return err
			}
			parts, err := s.whole(ctx, tx, r.From, r.To)
			if err != nil {
				return err
			}
			for i := range list {
				row := Row{Section: "metrics", Name: list[i].Name, Server: list[i].Server, Unit: list[i].Unit, Values: &Point{}}
				for _, p := range parts {
					found, err := tx.Summary(ctx, list[i].ID, p.step, p.from, p.to)
					if err != nil {
						return err
					}
					if found.N > 0 {
						row.Values.add(&found)
					}
				}
				if row.Count = row.Values.N; row.Count > 0 {
					rows = append(rows, row)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if more = len(list) == perStep; more {
			last = &list[len(list)-1]
		}
	}
	return rows, nil
}

// whole divides a time so that as much as possible is read by the hour, and its first and
// last minutes are not left out.
func (s *Service) whole(ctx context.Context, tx Tx, from, to int64) (list []part, err error) {
	first := min(upTo(from, hour), to)
	last := max(to-to%hour, first)
	for _, p := range []struct{ every, from, to int64 }{{minute, from, first}, {hour, first, last}, {minute, last, to}} {
		if p.from == p.to {
			continue
		}
		parts, err := s.parts(ctx, tx, "", p.every, p.from, p.to)
		if err != nil {
			return nil, err
		}
		list = append(list, parts...)
	}
	return list, nil
}

// jsonRow is a row in JSON.
type jsonRow struct {
	Section string   `json:"section"`
	Period  string   `json:"period"`
	Name    string   `json:"name"`
	Server  string   `json:"server,omitempty"`
	Unit    string   `json:"unit,omitempty"`
	Count   int64    `json:"count"`
	Average *float64 `json:"avg,omitempty"`
	Least   *float64 `json:"min,omitempty"`
	Most    *float64 `json:"max,omitempty"`
	Last    *float64 `json:"last,omitempty"`
}

func asJSON(r *Report, rows []Row) (string, error) {
	out := struct {
		ID   string    `json:"id"`
		Type string    `json:"type"`
		From time.Time `json:"from"`
		To   time.Time `json:"to"`
		Rows []jsonRow `json:"rows"`
	}{r.ID, r.Type, time.UnixMilli(r.From).UTC(), time.UnixMilli(r.To).UTC(), make([]jsonRow, len(rows))}
	for i := range rows {
		row := &rows[i]
		out.Rows[i] = jsonRow{Section: row.Section, Period: row.period(), Name: row.Name, Server: row.Server, Unit: row.Unit, Count: row.Count}
		if v := row.Values; v != nil {
			average := v.Value(Average)
			out.Rows[i].Average, out.Rows[i].Least, out.Rows[i].Most, out.Rows[i].Last = &average, &v.Least, &v.Greatest, &v.Last
		}
	}
	b, err := json.Marshal(out)
	if err != nil {
		return "", fmt.Errorf("encode report: %w", err)
	}
	return string(b), nil
}

func asCSV(rows []Row) (string, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := w.Write(columns); err != nil {
		return "", err
	}
	for i := range rows {
		row := &rows[i]
		record := []string{cell(row.Section), row.period(), cell(row.Name), cell(row.Server), cell(row.Unit), strconv.FormatInt(row.Count, 10)}
		if v := row.Values; v != nil {
			record = append(record, number(v.Value(Average)), number(v.Least), number(v.Greatest), number(v.Last))
		} else {
			record = append(record, "", "", "", "")
		}
		if err := w.Write(record); err != nil {
			return "", err
		}
	}
	w.Flush()
	return b.String(), w.Error()
}

// number writes as JSON does, with an exponent only where a number is huge or tiny.
func number(v float64) string {
	b, _ := json.Marshal(v) // it is finite
	return string(b)
}

// cell keeps a text that somebody wrote from being read as a formula by the program that
// opens the file (guarantees.md S33). Numbers are ours and stay as they are.
func cell(text string) string {
	if begin := strings.TrimLeft(text, " \u00a0\u3000"); begin != "" && strings.ContainsRune("=+-@\t\r\n|%＝＋－＠", []rune(begin)[0]) {
		return "'" + text
	}
	return text
}
