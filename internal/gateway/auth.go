package gateway

import (
	"context"
	"errors"
	"time"
)

// welcome is the data of the answer to a good credential.
type welcome struct {
	Action       string   `json:"action"`
	Status       string   `json:"status"`
	RequestID    string   `json:"requestId,omitempty"`
	ConnectionID string   `json:"connectionId"`
	UserID       string   `json:"userId"`
	Permissions  []string `json:"permissions"`
	ExpiresAt    *string  `json:"expiresAt,omitempty"`
	PingInterval int      `json:"pingInterval"`
	ResumeToken  string   `json:"resumeToken"`
	Cursor       string   `json:"cursor,omitempty"`
	Limits       limits   `json:"limits"`
}

type limits struct {
	Subscriptions     int `json:"subscriptions"`
	FrameBytes        int `json:"frameBytes"`
	MessagesPerMinute int `json:"messagesPerMinute"`
}

// authenticate looks at the credential of an auth frame; s.mu is held.
func (s *session) authenticate(f *frame) {
	if f.Token == "" {
		s.strike(f.ID, "token must be a string")
		return
	}
	token, again := f.Token, s.state == stateOpen
	f.Token = ""
	if !again {
		s.state = stateAsking
		s.revoked = s.g.revoked.Load()
	}
	s.later(func(ctx context.Context) {
		c, err := s.g.o.Accounts.Authenticate(ctx, token)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.out.closing {
			return
		}
		switch {
		case err != nil && again && !known(err): // the credential of before is still good
			s.g.o.Logger.Warn("authenticate a connection", "error", err)
			s.fail(f.ID, &problem{Code: codeUnavailable, Message: "Service temporarily unavailable", Retryable: true})
		case err != nil:
			s.refuse(f.ID, token, err)
		case again && c.Subject != s.caller.Subject:
			s.fail(f.ID, &problem{Code: codeMalformed, Message: "The credential is of another subject"})
		case again:
			s.become(c)
			s.say("response", f.ID, s.welcome(f.ID))
			s.revise()
		default:
			s.admit(f.ID, c)
		}
	})
}

// known tells whether an error is about the credential.
func known(err error) bool {
	return errors.Is(err, ErrInvalid) || errors.Is(err, ErrExpired) || errors.Is(err, ErrRevoked)
}

// refuse ends a session whose credential is not good, or cannot be looked at; s.mu is held.
func (s *session) refuse(id, token string, err error) {
	s.state = stateRefused
	if !known(err) {
		s.g.o.Logger.Warn("authenticate a connection", "error", err)
		s.g.metrics.auth.WithLabelValues("error", "unavailable").Inc()
		s.fail(id, &problem{Code: codeUnavailable, Message: "Service temporarily unavailable", Retryable: true})
		s.end(closeOverload, "service unavailable")
		return
	}
	why := reason(err)
	s.g.metrics.auth.WithLabelValues("refused", why).Inc()
	s.g.o.Watch.TokenRefused(s.peer.addr)
	s.g.guard.failed(s.peer.addr, hashOf(token), s.g.now())
	if s.peer.hash == "" {
		s.g.guard.said(s.peer.addr, hashOf(token))
	}
	s.fail(id, &problem{Code: codeAuth, Message: "Invalid authentication token", Reason: why})
	s.end(closeAuth, "invalid authentication token")
}

// admit opens a session for its caller; s.mu is held.
func (s *session) admit(id string, c Caller) {
	if s.form == formAdmin && !s.g.concernsAdmins(&c) {
		s.state = stateRefused
		s.end(closeAuth, "")
		return
	}
	if !s.g.guard.enter(c.Subject, s.g.o.ConnectionsPerSubject) {
		s.state = stateRefused
		s.g.o.Watch.RateLimited(c.User, s.peer.addr)
		s.fail(id, &problem{Code: codeLimit, Message: "Too many connections"})
		s.end(closeTooMany, "too many connections of the subject")
		return
	}
	s.admitted = true
	s.g.guard.identified(s.peer)
	s.g.guard.passed(s.peer.addr, s.peer.hash)
	s.g.metrics.auth.WithLabelValues("ok", "").Inc()
	s.g.metrics.connections.WithLabelValues("open").Inc()
	s.g.metrics.connections.WithLabelValues("new").Dec()
	s.state = stateOpen
	s.become(c)
	if s.revoked != s.g.revoked.Load() { // it may be this caller who was spoken of meanwhile
		s.spawn(s.refresh)
	}
	if s.form != formEvent && s.form != formCloud {
		s.greet()
		return
	}
	s.resumeToken = newID("rsm_")
	s.g.memory.open(s.resumeToken, s)
	s.say("response", id, s.welcome(id))
	if s.lastEventID != "" && !isEventID(s.lastEventID) {
		s.lastEventID = ""
		s.fail("", &problem{Code: codeMalformed, Message: "lastEventId is not the id of an event"})
	}
}

// become makes c the caller; s.mu is held.
func (s *session) become(c Caller) {
	s.caller, s.warned = c, false
	s.user.Store(c.User)
	if !c.Expires.IsZero() {
		s.due = s.g.tick.Load() + 1
	}
}

func (s *session) welcome(id string) *welcome {
	c := &s.caller
	w := &welcome{
		Action: "auth", Status: "ok", RequestID: id, ConnectionID: s.id, UserID: c.Subject, Permissions: c.Permissions,
		PingInterval: int(s.g.o.PingInterval / time.Second), ResumeToken: s.resumeToken, Cursor: s.cursor(),
		Limits: limits{s.g.o.Subscriptions, s.g.o.FrameBytes, s.g.o.MessagesPerMinute},
	}
	if c.User != 0 {
		w.UserID = itoa(c.User)
	}
	if w.Permissions == nil {
		w.Permissions = []string{}
	}
	if !c.Expires.IsZero() {
		at := c.Expires.UTC().Format(time.RFC3339)
		w.ExpiresAt = &at
	}
	return w
}

// refresh asks whether the caller is still one and what it may do now.
func (s *session) refresh(ctx context.Context) {
	s.mu.Lock()
	c, open := s.caller, s.state == stateOpen && !s.out.closing
	s.mu.Unlock()
	if !open {
		return
	}
	now, err := s.g.o.Accounts.Refresh(ctx, c)
	for try := 0; err != nil && !known(err) && try < 4; try++ { // revocation takes effect within 5 s
		if !s.g.pause(ctx, time.Second) {
			return
		}
		now, err = s.g.o.Accounts.Refresh(ctx, c)
	}
	s.locked(func() {
		switch {
		case s.caller.Session != c.Session || s.caller.Key != c.Key:
			// has shown another credential meanwhile
		case err != nil && !known(err):
			s.fail("", &problem{Code: codeUnavailable, Message: "Service temporarily unavailable", Retryable: true})
			s.end(closeOverload, "service unavailable")
		case err != nil:
			s.expel(reason(err))
		case s.caller.Subject == now.Subject:
			now.Expires = s.caller.Expires
			s.caller = now
			s.revise()
		}
	})
}

// expel ends a session whose credential is over; s.mu is held.
func (s *session) expel(why string) {
	s.fail("", &problem{Code: codeAuth, Message: "Invalid authentication token", Reason: why})
	s.end(closeAuth, "authentication "+why)
}
