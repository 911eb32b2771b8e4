package delivery

import (
	"slices"
	"time"

	"github.com/kuranty/kuranty/webhook"
)

// Patch is the body of PATCH /webhooks/{id}: what is to be another way.
type Patch struct {
	// IsActive is nil if it stays.
	IsActive *bool
	// ResumeNone cancels the deliveries of the time the webhook was disabled, instead of
	// releasing them.
	ResumeNone bool
	// Force switches on what was disabled time and again.
	Force bool
	// Made is the secret that is made, the zero value if none is.
	Made webhook.Secret

	changes []func(*Settings)
	given   []string
}

// ParsePatch reads the body of PATCH /webhooks/{id}. A member that is absent or null
// leaves its field as it is; "" empties a field that can be empty. The error is an
// [*InvalidError] with all that is wrong.
func ParsePatch(raw []byte, rules Rules) (Patch, error) {
	b, err := open(raw)
	if err != nil {
		return Patch{}, err
	}
	var p Patch
	p.changes, p.given = b.settings(&rules)
	if b.generates(p.given) {
		p.Made = webhook.NewSecret()
		p.changes, p.given = append(p.changes, func(s *Settings) { s.Secret = p.Made }), append(p.given, "secret")
	}
	p.IsActive = b.flag("is_active")
	if force := b.flag("force"); force != nil {
		p.Force = *force
	}
	if resume, ok := b.given("resume"); ok {
		word, wrong := choice(resume, "all", "none")
		if wrong != nil {
			b.fail("resume", wrong, resume)
		}
		p.ResumeNone = word == "none"
	}
	if err := b.err(); err != nil {
		return Patch{}, err
	}
	return p, nil
}

// Fields are the names of the settings that p gives, for the audit log.
func (p *Patch) Fields() []string { return p.given }

// Effects are what has to be done besides storing a webhook that was changed.
type Effects struct {
	// Release lets the paused deliveries go, see [ReleaseAt]; Cancel cancels them.
	Release, Cancel bool
	// Verify challenges the receiver; [Webhook.Verified] then switches the webhook on.
	Verify bool
}

// Apply changes w as p wants it. The error is [ErrFlapping], and w is as it was.
func (p *Patch) Apply(w *Webhook, now time.Time) (Effects, error) {
	changed := *w
	for _, change := range p.changes {
		change(&changed.Settings)
	}
	if slices.Contains(p.given, "secret") { // no grace, that is what rotation is for (spec/webhooks.md §4.4)
		changed.PreviousSecret, changed.PreviousUntil = webhook.Secret{}, time.Time{}
	}
	effects, err := p.switchOver(&changed, now)
	if err != nil {
		return Effects{}, err
	}
	target := changed.URL != w.URL || changed.Verify != w.Verify
	if changed.Verify != VerifyNone && target && (changed.IsActive || changed.Health.Reason == ReasonUnverified) {
		changed.awaitVerification(now)
		effects = Effects{Cancel: effects.Cancel, Verify: true}
	}
	changed.UpdatedAt = now
	*w = changed
	return effects, nil
}

// switchOver applies IsActive. What is so already stays with its reason: an owner who
// sends all fields back does not mean to switch.
func (p *Patch) switchOver(w *Webhook, now time.Time) (Effects, error) {
	switch {
	case p.IsActive == nil || *p.IsActive == w.IsActive:
		return Effects{}, nil
	case !*p.IsActive:
		w.IsActive = false
		return Effects{}, nil
	case w.Health.Reason == ReasonUnverified && w.Verify != VerifyNone:
		return Effects{Verify: true}, nil
	}
	if err := w.Health.enable(now, p.Force); err != nil {
		return Effects{}, err
	}
	w.Circuit = Circuit{}
	w.IsActive = true
	return Effects{Release: !p.ResumeNone, Cancel: p.ResumeNone}, nil
}

// awaitVerification switches w off until its receiver was asked.
func (w *Webhook) awaitVerification(now time.Time) {
	w.IsActive = false
	w.Health.Reason, w.Health.DisabledAt = ReasonUnverified, now
}

// Verified switches on a webhook whose receiver passed the challenge. Deliveries that
// were paused meanwhile are to be released.
func (w *Webhook) Verified(now time.Time) {
	if w.Health.Reason != ReasonUnverified {
		return
	}
	w.Health.Reason, w.Health.DisabledAt = "", time.Time{}
	w.IsActive, w.UpdatedAt = true, now
}
