package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Result is one measure: a value per round and, where there is one, the floor
// measured beside it.
type Result struct {
	Measure string    `json:"measure"`
	Unit    string    `json:"unit"` // of Value and Floor
	Rounds  []float64 `json:"rounds,omitempty"`
	Floors  []float64 `json:"floor_rounds,omitempty"`

	Value    float64 `json:"value"` // medians
	Min      float64 `json:"min"`
	Max      float64 `json:"max"`
	Floor    float64 `json:"floor,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"` // median of the rounds' ratios
	RatioMin float64 `json:"ratio_min,omitempty"`
	RatioMax float64 `json:"ratio_max,omitempty"`

	// Bar is the largest value, or with a floor the largest ratio, that is good
	// enough, with AtLeast the smallest; zero where none is set for this shape.
	Bar     float64 `json:"bar,omitempty"`
	AtLeast bool    `json:"at_least,omitempty"`
	Met     *bool   `json:"met,omitempty"` // nil without a bar

	Notes []string `json:"notes,omitempty"` // what else was seen, for people
}

// newResult computes the medians of rounds, which may be empty when the server's
// process cannot be read, and of floors, which is nil or as long.
func newResult(measure, unit string, rounds, floors []float64, bar float64, notes ...string) Result {
	r := Result{Measure: measure, Unit: unit, Rounds: rounds, Floors: floors, Bar: bar, Notes: notes}
	if len(rounds) == 0 {
		return r
	}
	r.Value, r.Min, r.Max = median(rounds), slices.Min(rounds), slices.Max(rounds)
	judged := r.Value
	if len(floors) > 0 {
		ratios := make([]float64, len(rounds))
		for i := range rounds {
			ratios[i] = rounds[i] / floors[i]
		}
		r.Floor, r.Ratio, r.RatioMin, r.RatioMax = median(floors), median(ratios), slices.Min(ratios), slices.Max(ratios)
		judged = r.Ratio
	}
	if bar > 0 {
		met := judged <= bar
		r.Met = &met
	}
	return r
}

// atLeast makes r's bar a lower one: of what is the better the more there is of it.
func (r Result) atLeast() Result {
	r.AtLeast = true
	if r.Met != nil {
		judged := r.Value
		if len(r.Floors) > 0 {
			judged = r.Ratio
		}
		met := judged >= r.Bar
		r.Met = &met
	}
	return r
}

// write prints results as a table for people or, with format "json", as one object.
func write(w io.Writer, format string, results []Result) error {
	if format == "json" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(map[string]any{
			"time": time.Now().UTC().Format(time.RFC3339), "go": runtime.Version(), "cpus": runtime.NumCPU(), "results": results,
		})
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "measure\tvalue (min – max)\tfloor\tratio (min – max)\tbar\tverdict")
	for _, r := range results {
		fmt.Fprintln(tw, strings.Join(r.columns(), "\t"))
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print results: %w", err)
	}
	for _, r := range results {
		for _, note := range r.Notes {
			if _, err := fmt.Fprintf(w, "%s: %s\n", r.Measure, note); err != nil {
				return fmt.Errorf("print results: %w", err)
			}
		}
	}
	return nil
}

func (r *Result) columns() []string {
	value, floor, ratio, bar, verdict := "–", "", "", "", ""
	if len(r.Rounds) > 0 {
		value = fmt.Sprintf("%.2f %s (%.2f – %.2f)", r.Value, r.Unit, r.Min, r.Max)
	}
	if r.Floor > 0 {
		floor = fmt.Sprintf("%.2f %s", r.Floor, r.Unit)
		ratio = fmt.Sprintf("%.2f (%.2f – %.2f)", r.Ratio, r.RatioMin, r.RatioMax)
	}
	if r.Bar > 0 {
		unit := r.Unit
		if len(r.Floors) > 0 {
			unit = "× floor"
		}
		sign := "≤"
		if r.AtLeast {
			sign = "≥"
		}
		bar = fmt.Sprintf("%s %g %s", sign, r.Bar, unit)
	}
	if r.Met != nil {
		verdict = map[bool]string{true: "met", false: "not met"}[*r.Met]
	}
	return []string{r.Measure, value, floor, ratio, bar, verdict}
}
