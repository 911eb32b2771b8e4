package webhooks

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/egress"
)

// resolveTimeout bounds the look-up of a host while its owner waits.
const resolveTimeout = 2 * time.Second

// target looks at the URL of a body that is being read. It lives as long as the call.
type target struct {
	s        *Service
	ctx      context.Context
	warnings []string
}

// rules are what the body is checked against.
func (t *target) rules() delivery.Rules { return delivery.Rules{CheckURL: t.check} }

// check refuses what may not be called. That is for a quick answer: each connection is
// checked again (spec/webhooks.md §4.12).
func (t *target) check(raw string) error {
	if err := t.s.o.Guard.CheckURL(raw); err != nil || t.s.o.Resolve == nil {
		return err
	}
	u, err := url.Parse(raw)
	if err != nil { // the guard has taken it
		return fmt.Errorf("not a valid URL")
	}
	if egress.IsAddress(u.Hostname()) { // which the guard has looked at
		return nil
	}
	ctx, cancel := context.WithTimeout(t.ctx, resolveTimeout)
	defer cancel()
	found, err := t.s.o.Resolve(ctx, u.Hostname())
	if err != nil || len(found) == 0 {
		t.warnings = append(t.warnings, fmt.Sprintf("the host %q cannot be resolved now", u.Hostname()))
		return nil
	}
	for _, ip := range found {
		if t.s.o.Guard.Check(u.Hostname(), ip) == nil {
			return nil
		}
	}
	return egress.ErrBlocked
}
