package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kuranty/kuranty/internal/analytics"
	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/chatjson"
)

// Scopes of keys for metrics and reports.
const (
	analyticsRead  = "analytics:read"
	analyticsWrite = "analytics:write"
)

// analyticsRoutes are metrics and reports, for administrators and services that have the
// scope.
func (a *API) analyticsRoutes() {
	handle(a, op{post, "/metrics", AdminsOr(analyticsWrite), "Store values of metrics, one or up to 500", created, nil, true}, a.pushMetrics)
	handle(a, op{get, "/metrics", AdminsOr(analyticsRead), "List metrics, or show the past of one", ok, nil, false}, a.listMetrics)
	handle(a, op{post, "/reports", AdminsOr(analyticsWrite), "Ask for a report", http.StatusAccepted, nil, true}, a.createReport)
	handle(a, op{get, "/reports", AdminsOr(analyticsRead), "List reports, the newest first", ok, nil, false}, a.listReports)
	handle(a, op{get, "/reports/{id}", AdminsOr(analyticsRead), "Show how far a report is", ok, nil, false}, a.getReport)
	handle(a, op{get, "/reports/{id}/file", AdminsOr(analyticsRead), "Fetch a report, in the format it was asked for in", ok, nil, false}, a.fetchReport)
	a.describeAnalytics()
}

// describeAnalytics says in the document what [parseMetrics] reads, and what reports are.
func (a *API) describeAnalytics() {
	doc := a.huma.OpenAPI()
	one := doc.Components.Schemas.Schema(reflect.TypeFor[newMetric](), true, "NewMetric")
	most := analytics.MaxBatch
	list := &huma.Schema{Type: huma.TypeArray, Items: one, MaxItems: &most}
	operationOf(doc, post, prefix+"/metrics").RequestBody.Content["application/json"].Schema = &huma.Schema{
		AnyOf: []*huma.Schema{
			one, list, {Type: huma.TypeObject, Properties: map[string]*huma.Schema{"metrics": list}, Required: []string{"metrics"}},
		},
		Examples: []any{map[string]any{"name": "cpu_usage", "value": 42.5, "unit": "percent", "metadata": map[string]any{"server": "web-1", "region": "eu"}}},
	}
	text := &huma.Schema{Type: huma.TypeString}
	row := &huma.Schema{Type: huma.TypeObject, Required: []string{"section", "period", "name", "count"}, Properties: map[string]*huma.Schema{
		"section": text, "name": text, "server": text, "unit": text,
		"period": {Type: huma.TypeString, Description: "A day of UTC, total, or now"}, "count": {Type: huma.TypeInteger},
		"avg": {Type: huma.TypeNumber}, "min": {Type: huma.TypeNumber}, "max": {Type: huma.TypeNumber}, "last": {Type: huma.TypeNumber},
	}}
	stamp := &huma.Schema{Type: huma.TypeString, Format: "date-time"}
	file := &huma.Schema{Type: huma.TypeObject, Required: []string{"id", "type", "from", "to", "rows"}, Properties: map[string]*huma.Schema{
		"id": text, "type": text, "from": stamp, "to": stamp, "rows": {Type: huma.TypeArray, Items: row},
	}}
	operationOf(doc, get, prefix+"/reports/{id}/file").Responses["200"].Content = map[string]*huma.MediaType{
		"application/json": {Schema: file}, "text/csv": {Schema: text},
	}
}

// analytics returns the service, if there is one.
func (a *API) analytics() (*analytics.Service, error) { return enabled(a.o.Analytics) }

// newMetric is a value in a request.
type newMetric struct {
	Name      string                `json:"name" maxLength:"128" doc:"Letters, digits, _ . : / and -"`
	Value     float64               `json:"value"`
	Unit      maybe[string]         `json:"unit,omitempty" maxLength:"32"`
	Timestamp maybe[string]         `json:"timestamp,omitempty" format:"date-time" doc:"Now if not given; at most 12 h ago, or half of analytics.raw_retention, and 5 min ahead"`
	Metadata  maybe[map[string]any] `json:"metadata,omitempty" doc:"server makes another series; region and what else there is to say"`
}

// pushed is the body of a request, which is looked at by [parseMetrics].
type pushed struct{ text []byte }

// UnmarshalJSON implements [json.Unmarshaler].
func (p *pushed) UnmarshalJSON(b []byte) error {
	p.text = append([]byte(nil), b...)
	return nil
}

// Schema lets everything pass; [API.describeAnalytics] describes it.
func (pushed) Schema(huma.Registry) *huma.Schema { return &huma.Schema{} }

type pushInput struct{ Body pushed }

// Stored says how many values were stored.
type Stored struct {
	Accepted int `json:"accepted"`
}

func (a *API) pushMetrics(ctx context.Context, c *call, in *pushInput) (*answer[Stored], error) {
	s, err := a.analytics()
	if err != nil {
		return nil, err
	}
	values, err := parseMetrics(in.Body.text)
	if err != nil {
		return nil, err
	}
	if err := s.Push(ctx, c.Actor(), values); err != nil {
		return nil, err
	}
	return &answer[Stored]{Status: http.StatusCreated, Body: Stored{len(values)}}, nil
}

// parseMetrics reads a value, a list of values, or an object with the list metrics.
func parseMetrics(text []byte) ([]analytics.Value, error) {
	p := metricParser{}
	var list []json.RawMessage
	object := map[string]json.RawMessage{}
	switch {
	case json.Unmarshal(text, &list) == nil && list != nil:
		p.many = true
	case json.Unmarshal(text, &object) != nil || len(object) == 0:
		return nil, apierror.NewField("metrics", apierror.Required)
	case object["metrics"] != nil:
		p.many = true
		if json.Unmarshal(object["metrics"], &list) != nil || list == nil {
			return nil, &apierror.Error{Code: apierror.BadRequest, Fields: []apierror.Field{{Name: "metrics", Reason: apierror.Type}}}
		}
	default:
		list = []json.RawMessage{text}
	}
	switch {
	case len(list) == 0:
		return nil, apierror.NewField("metrics", apierror.Required)
	case len(list) > analytics.MaxBatch:
		return nil, &apierror.Error{Code: apierror.Validation, Fields: []apierror.Field{{Name: "metrics", Reason: apierror.TooMany, Limit: analytics.MaxBatch}}}
	}
	values := make([]analytics.Value, len(list))
	for i, one := range list {
		values[i] = p.value(i, one)
	}
	if len(p.wrong) > 0 {
		return nil, &apierror.Error{Code: p.code, Fields: p.wrong}
	}
	return values, nil
}

// metricParser collects what is wrong with values.
type metricParser struct {
	many  bool
	wrong []apierror.Field
	code  apierror.Code
}

// maxWrong bounds the fields that are named.
const maxWrong = 20

func (p *metricParser) refuse(i int, name, reason, text string) {
	if p.many {
		name = strings.TrimSuffix("metrics["+strconv.Itoa(i)+"]."+name, ".")
	}
	if p.code == "" {
		p.code = apierror.Validation
	}
	if reason == apierror.Type {
		p.code = apierror.BadRequest
	}
	if len(p.wrong) < maxWrong {
		p.wrong = append(p.wrong, apierror.Field{Name: name, Reason: reason, Text: text})
	}
}

func (p *metricParser) value(i int, text []byte) (v analytics.Value) {
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil || members == nil {
		p.refuse(i, "", apierror.Type, "must be an object")
		return v
	}
	var stamp string
	targets := map[string]any{"name": &v.Name, "value": &v.Value, "unit": &v.Unit, "timestamp": &stamp, "metadata": &v.Metadata}
	for name, text := range members {
		target, known := targets[name]
		switch {
		case !known: // as everywhere in this contract, it has no effect
		case string(text) == "null":
			delete(members, name)
		case json.Unmarshal(text, target) != nil:
			p.refuse(i, name, apierror.Type, "")
		}
	}
	for _, name := range []string{"name", "value"} {
		if members[name] == nil {
			p.refuse(i, name, apierror.Required, "")
		}
	}
	if stamp != "" {
		at, err := time.Parse(time.RFC3339, stamp)
		if err != nil {
			p.refuse(i, "timestamp", apierror.Invalid, "must be a time as 2026-05-01T12:00:00Z")
		}
		if v.At = at.UnixMilli(); v.At == 0 {
			v.At = 1 // which is as far away, and is not now
		}
	}
	return v
}

// timeOf reads a time of a query; 0 is none.
func timeOf(name, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(form, text); err == nil && t.UnixMilli() > 0 {
			return t.UnixMilli(), nil
		}
	}
	return 0, &analytics.FieldError{Field: name, Reason: "must be a time after 1970, as 2026-05-01T12:00:00Z"}
}

// stepOf reads how long a step is: seconds, or as 30s, 5m, 1h, 1d. 0 is none.
func stepOf(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}
	unit, digits := time.Second, text
	if u, known := units[text[len(text)-1]]; known {
		unit, digits = u, text[:len(text)-1]
	}
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || n == 0 || n > 366*86400 {
		return 0, &analytics.FieldError{Field: "step", Reason: "must be seconds, or a time as 30s, 5m, 1h or 1d"}
	}
	return time.Duration(n) * unit, nil
}

// Metric is a metric of a server, as it was last.
type Metric struct {
	Name      string         `json:"name"`
	Server    *string        `json:"server" doc:"null if its values name none"`
	Unit      *string        `json:"unit"`
	Value     float64        `json:"value"`
	Timestamp string         `json:"timestamp" format:"date-time"`
	Metadata  map[string]any `json:"metadata"`
}

// MetricPoint is what the values of a time make together.
type MetricPoint struct {
	Timestamp string  `json:"timestamp" format:"date-time" doc:"When the time begins"`
	Value     float64 `json:"value"`
	Count     int64   `json:"count" doc:"How many values there were"`
}

// MetricList is a page of metrics, and the past of the one that was asked for.
type MetricList struct {
	Metrics    []Metric `json:"metrics" doc:"By name and server"`
	NextCursor *string  `json:"next_cursor"`

	Aggregate string         `json:"aggregate,omitempty" enum:"avg,min,max,sum,last"`
	Step      int64          `json:"step_seconds,omitempty"`
	From      string         `json:"from,omitempty" format:"date-time"`
	To        string         `json:"to,omitempty" format:"date-time"`
	Points    *[]MetricPoint `json:"points,omitempty" doc:"If a name was given; in order, without times that have no values"`
}

type metricsInput struct {
	Name      string `query:"name" maxLength:"128" doc:"Show the past of this metric, too"`
	Server    string `query:"server" maxLength:"128" doc:"Only of this server; all together if not given"`
	From      string `query:"from" maxLength:"40" doc:"An hour before to if not given"`
	To        string `query:"to" maxLength:"40" doc:"Now if not given"`
	Step      string `query:"step" maxLength:"16" doc:"Time of a point: seconds, or as 30s, 5m, 1h, 1d; chosen by itself if not given"`
	Aggregate string `query:"aggregate" enum:"avg,min,max,sum,last" doc:"avg if not given"`
	Limit     int    `query:"limit" minimum:"0" maximum:"200" doc:"Metrics; 50 if not given"`
	Cursor    string `query:"cursor" maxLength:"1200"`
}

func (a *API) listMetrics(ctx context.Context, _ *call, in *metricsInput) (*body[MetricList], error) {
	s, err := a.analytics()
	if err != nil {
		return nil, err
	}
	list, next, err := s.Series(ctx, analytics.SeriesQuery{Name: in.Name, Server: in.Server, Cursor: in.Cursor, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	out := MetricList{Metrics: make([]Metric, len(list)), NextCursor: optional(next)}
	for i := range list {
		m := &list[i]
		out.Metrics[i] = Metric{Name: m.Name, Server: optional(m.Server), Unit: optional(m.Unit), Value: m.Value, Timestamp: chatjson.Stamp(m.UpdatedAt)}
		if err := json.Unmarshal(m.Metadata, &out.Metrics[i].Metadata); err != nil {
			return nil, err
		}
	}
	if in.Name == "" {
		return reply(out), nil
	}
	return a.addPoints(ctx, s, in, &out)
}

// addPoints adds the past of the metric that was asked for.
func (a *API) addPoints(ctx context.Context, s *analytics.Service, in *metricsInput, out *MetricList) (*body[MetricList], error) {
	q := analytics.PointsQuery{Name: in.Name, Server: in.Server}
	var err error
	if q.From, err = timeOf("from", in.From); err != nil {
		return nil, err
	}
	if q.To, err = timeOf("to", in.To); err != nil {
		return nil, err
	}
	if q.Step, err = stepOf(in.Step); err != nil {
		return nil, err
	}
	points, q, err := s.Points(ctx, q)
	if err != nil {
		return nil, err
	}
	if out.Aggregate = in.Aggregate; out.Aggregate == "" {
		out.Aggregate = analytics.Average
	}
	out.Step, out.From, out.To = int64(q.Step/time.Second), chatjson.Stamp(q.From), chatjson.Stamp(q.To)
	shown := make([]MetricPoint, len(points))
	for i := range points {
		shown[i] = MetricPoint{chatjson.Stamp(points[i].At), points[i].Value(out.Aggregate), points[i].N}
	}
	out.Points = &shown
	return reply(*out), nil
}

// Report is a report on a time, and how far it is.
type Report struct {
	ID          string  `json:"id"`
	Type        string  `json:"type" enum:"performance,usage,security,trust"`
	Format      string  `json:"format" enum:"json,csv"`
	From        string  `json:"from" format:"date-time"`
	To          string  `json:"to" format:"date-time" doc:"The end, which is not part of it"`
	Status      string  `json:"status" enum:"pending,completed,failed"`
	RequestedBy *string `json:"requested_by" doc:"As user:1 or key:k_…"`
	CreatedAt   string  `json:"created_at" format:"date-time"`
	CompletedAt *string `json:"completed_at" format:"date-time"`
	Size        int64   `json:"size" doc:"Of the file, in bytes; 0 until it is completed"`
	URL         *string `json:"url" doc:"Where the file is; null until it is completed"`
}

func report(r *analytics.Report) Report {
	out := Report{
		ID: r.ID, Type: r.Type, Format: r.Format, From: chatjson.Stamp(r.From), To: chatjson.Stamp(r.To), Status: r.Status,
		RequestedBy: optional(r.RequestedBy), CreatedAt: chatjson.Stamp(r.CreatedAt), CompletedAt: chatjson.OptStamp(r.CompletedAt), Size: r.Size,
	}
	if r.Status == analytics.Completed {
		out.URL = optional(analytics.FilePath(r.ID))
	}
	return out
}

type newReportInput struct {
	Body struct {
		Type   string `json:"type" enum:"performance,usage,security,trust"`
		Format string `json:"format,omitempty" enum:"json,csv" doc:"json if not given"`
		From   string `json:"from,omitempty" maxLength:"40" doc:"7 days before to if not given; at most 731 days"`
		To     string `json:"to,omitempty" maxLength:"40" doc:"Now if not given"`
	}
}

func (a *API) createReport(ctx context.Context, c *call, in *newReportInput) (*answer[Report], error) {
	s, err := a.analytics()
	if err != nil {
		return nil, err
	}
	d := analytics.Draft{Type: in.Body.Type, Format: in.Body.Format}
	if d.From, err = timeOf("from", in.Body.From); err != nil {
		return nil, err
	}
	if d.To, err = timeOf("to", in.Body.To); err != nil {
		return nil, err
	}
	r, err := s.Create(ctx, c.Actor(), d)
	if err != nil {
		return nil, err
	}
	out := &answer[Report]{Status: http.StatusAccepted, Body: report(&r)}
	return out, a.recordOf(ctx, c, "report.create", "report:"+r.ID, map[string]any{"type": r.Type, "from": out.Body.From, "to": out.Body.To})
}

// ReportList is a page of reports.
type ReportList struct {
	Reports    []Report `json:"reports"`
	NextCursor *string  `json:"next_cursor"`
}

type reportsInput struct {
	Status string `query:"status" enum:"pending,completed,failed"`
	Limit  int    `query:"limit" minimum:"0" maximum:"200" doc:"50 if not given"`
	Cursor string `query:"cursor" maxLength:"100"`
}

func (a *API) listReports(ctx context.Context, _ *call, in *reportsInput) (*body[ReportList], error) {
	s, err := a.analytics()
	if err != nil {
		return nil, err
	}
	list, next, err := s.List(ctx, in.Status, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	out := ReportList{make([]Report, len(list)), optional(next)}
	for i := range list {
		out.Reports[i] = report(&list[i])
	}
	return reply(out), nil
}

type reportPath struct {
	ID string `path:"id" maxLength:"64"`
}

func (a *API) getReport(ctx context.Context, _ *call, in *reportPath) (*body[Report], error) {
	s, err := a.analytics()
	if err != nil {
		return nil, err
	}
	r, err := s.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return reply(report(&r)), nil
}

func (a *API) fetchReport(ctx context.Context, _ *call, in *reportPath) (*content, error) {
	s, err := a.analytics()
	if err != nil {
		return nil, err
	}
	r, text, err := s.File(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	kind := "application/json"
	if r.Format == analytics.CSV {
		kind = "text/csv; charset=utf-8; header=present"
	}
	return &content{func(ctx huma.Context) {
		ctx.SetHeader("Content-Type", kind)
		ctx.SetHeader("Content-Disposition", `attachment; filename="`+r.ID+`.`+r.Format+`"`)
		ctx.SetHeader("X-Content-Type-Options", "nosniff")
		ctx.SetHeader("Cache-Control", "no-store")
		_, _ = io.WriteString(ctx.BodyWriter(), text) // who reads has gone, nobody to tell
	}}, nil
}
