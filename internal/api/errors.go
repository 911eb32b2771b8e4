package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/kuranty/kuranty/internal/apierror"
)

// The library makes its errors by these variables, and its lists nullable; only this
// package uses it.
func init() { //nolint:gochecknoinits // the library has no other way
	huma.NewErrorWithContext = func(ctx huma.Context, status int, _ string, errs ...error) huma.StatusError {
		e := refusal(status, errs)
		c := callOf(ctx.Context())
		p := &problem{e.Envelope(c.lang, c.id), e}
		for name, values := range p.GetHeaders() { // the library asks handlers' errors only
			ctx.SetHeader(name, values[0])
		}
		return p
	}
	huma.NewError = func(status int, _ string, errs ...error) huma.StatusError {
		e := refusal(status, errs)
		return &problem{e.Envelope(apierror.English, ""), e}
	}
	huma.DefaultArrayNullable = false
}

// problem is an error on its way to the client.
type problem struct {
	apierror.Envelope
	e *apierror.Error
}

func (p *problem) Error() string { return p.e.Error() }
func (p *problem) Unwrap() error { return p.e }

// GetStatus and GetHeaders are what the library asks for.
func (p *problem) GetStatus() int { return p.e.Status(apierror.C) }

// GetHeaders returns the headers of the reply.
func (p *problem) GetHeaders() http.Header {
	h := make(http.Header)
	p.e.Header(h, apierror.C)
	return h
}

// refusal is what the library refused, as our contract says it.
func refusal(status int, errs []error) *apierror.Error {
	var invalid []apierror.Field
	wrongType := false
	for _, err := range errs {
		var d huma.ErrorDetailer
		if !errors.As(err, &d) {
			if e := apierror.From(err); e.Code != apierror.Internal {
				return e
			}
			continue
		}
		f := field(d.ErrorDetail())
		wrongType = wrongType || f.Reason == apierror.Type
		invalid = append(invalid, f)
	}
	cause := errors.Join(errs...)
	switch {
	case status == http.StatusRequestEntityTooLarge || strings.Contains(errorText(cause), "request body too large"):
		return apierror.New(apierror.TooLarge, cause)
	case status == http.StatusUnsupportedMediaType:
		return apierror.New(apierror.UnsupportedMedia, cause)
	case status == http.StatusBadRequest, status == http.StatusRequestTimeout:
		return apierror.New(apierror.BadRequest, cause)
	case status == http.StatusUnprocessableEntity && wrongType:
		return &apierror.Error{Code: apierror.BadRequest, Fields: invalid, Cause: cause}
	case status == http.StatusUnprocessableEntity:
		return &apierror.Error{Code: apierror.Validation, Fields: invalid, Cause: cause}
	}
	return apierror.New(apierror.Internal, cause)
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// typeMessages are the library's words for values of the wrong type.
var typeMessages = []string{
	validation.MsgExpectedBoolean, validation.MsgExpectedNumber, validation.MsgExpectedInteger, validation.MsgExpectedString,
	validation.MsgExpectedArray, validation.MsgExpectedObject, validation.MsgExpectedMatchExactlyOneSchema,
}

// field names what is wrong with a value of the request. The value itself is not
// repeated, and of the library's words only their kind.
func field(d *huma.ErrorDetail) apierror.Field {
	name := d.Location
	for _, place := range []string{"body.", "query.", "path.", "header.", "form."} {
		name = strings.TrimPrefix(name, place)
	}
	f := apierror.Field{Name: name, Reason: apierror.Invalid}
	switch m := d.Message; {
	case strings.Contains(m, "required"):
		f.Reason = apierror.Required
		if _, missing, ok := strings.Cut(m, "property "); ok {
			missing, _, _ = strings.Cut(missing, " ")
			f.Name = strings.TrimPrefix(strings.TrimPrefix(name+"."+missing, "body."), ".")
		}
	case strings.Contains(m, "array length <="):
		f.Reason = apierror.TooMany
	case strings.Contains(m, "length <="):
		f.Reason = apierror.TooLong
	case strings.Contains(m, "length >="):
		f.Reason = apierror.TooShort
	case strings.Contains(m, "Go struct field "): // a number that the schema takes, and an int64 does not hold
		_, f.Name, _ = strings.Cut(m, "Go struct field ")
		f.Name, _, _ = strings.Cut(f.Name, " ")
		_, f.Name, _ = strings.Cut(f.Name, ".")
		f.Reason = apierror.Type
	case slices.Contains(typeMessages, m), strings.HasPrefix(m, "invalid "), strings.Contains(m, errID.Error()), strings.Contains(m, errDay.Error()):
		f.Reason = apierror.Type
	}
	if f.Name == "body" && f.Reason == apierror.Invalid {
		f.Reason = apierror.Type
	}
	return f
}
