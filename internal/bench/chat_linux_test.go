package bench

import (
	"strings"
	"testing"
)

func TestMessageCarriesItsNumberAndTime(t *testing.T) {
	body := string(appendSending(nil, 1_000_000_042, 1_795_316_768_123_456_789))
	n, at, ok := textStamp([]byte(`{"push":{"channel":"chat:7","pub":{"data":` + body + `}}}`))
	if !ok || n != 1_000_000_042 || at != 1_795_316_768_123_456_789 {
		t.Errorf("found %d, %d, %t in %s", n, at, ok, body)
	}
	for _, other := range []string{`{}`, `{"text":"`, `{"text":"hello, this is no message of a benchmark"}`, body[:60]} {
		if _, _, ok := textStamp([]byte(other)); ok {
			t.Errorf("a stamp found in %s", other)
		}
	}
}

func TestLowerBound(t *testing.T) {
	for _, c := range []struct {
		r    Result
		met  bool
		says string
	}{
		{newResult("m", "/s", []float64{9, 10, 11}, nil, 10).atLeast(), true, "≥ 10 /s"},
		{newResult("m", "/s", []float64{9, 9, 11}, nil, 10).atLeast(), false, "≥ 10 /s"},
		{newResult("m", "/s", []float64{6}, []float64{10}, 0.5).atLeast(), true, "≥ 0.5 × floor"},
		{newResult("m", "/s", []float64{4}, []float64{10}, 0.5).atLeast(), false, "≥ 0.5 × floor"},
		{newResult("m", "/s", []float64{4}, []float64{10}, 0.5), true, "≤ 0.5 × floor"},
	} {
		if columns := strings.Join(c.r.columns(), "|"); *c.r.Met != c.met || !strings.Contains(columns, c.says) {
			t.Errorf("met %t, %s; want %t, %s", *c.r.Met, columns, c.met, c.says)
		}
	}
	if r := newResult("m", "/s", nil, nil, 10).atLeast(); r.Met != nil {
		t.Error("a verdict without a round")
	}
}

func TestEventCarriesItsNumberAndTime(t *testing.T) {
	body := string(appendMetrics(nil, 1_000_000_042, 1_795_316_768_123_456_789, 2))
	first, second, _ := strings.Cut(body, "},{")
	for i, one := range []string{first, second} {
		n, at, ok := metricStamp([]byte(`{"type":"event","data":` + one + `}}`))
		if !ok || n != 1_000_000_042+int64(i) || at != 1_795_316_768_123_456_789 {
			t.Errorf("found %d, %d, %t in %s", n, at, ok, one)
		}
	}
	for _, other := range []string{`{}`, `{"stamp":"`, `{"stamp":"this is no event of a benchmark, is it?"}`, first[:60]} {
		if _, _, ok := metricStamp([]byte(other)); ok {
			t.Errorf("a stamp found in %s", other)
		}
	}
}
