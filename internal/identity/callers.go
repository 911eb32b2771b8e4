package identity

import "sync"

const (
	// rememberFor is how long a caller is remembered, in milliseconds: revocation must
	// be known everywhere within 5 s (chat-api.md §C.1).
	rememberFor = 4000
	maxCallers  = 50_000
)

// callers remembers who callers are, by what they show. What is refused is not
// remembered.
type callers struct {
	// now is a clock that nobody sets, wall the one that says the date.
	now, wall func() int64

	most int // remembered at once

	mu   sync.Mutex
	kept map[string]remembered
	// by finds what is remembered of a session, an API key or a user.
	bySubject map[subject]map[string]struct{}
	// forgotten counts forgettings: what was read before one may be out of date.
	forgotten uint64
}

type remembered struct {
	caller Caller
	until  int64
}

// subject is a user, or a session or API key.
type subject struct {
	user       int64
	credential string
}

func newCallers(now, wall func() int64) *callers {
	return &callers{now: now, wall: wall, most: maxCallers, kept: make(map[string]remembered), bySubject: make(map[subject]map[string]struct{})}
}

// get returns who showed what has the key, from load if it is not remembered. load also
// says until when that is so at most, as a date; 0 means no end.
func (c *callers) get(key string, load func() (Caller, int64, error)) (Caller, error) {
	c.mu.Lock()
	r, ok := c.kept[key]
	forgotten := c.forgotten
	c.mu.Unlock()
	if ok && c.now() < r.until {
		return r.caller, nil
	}
	began := c.now()
	caller, until, err := load()
	if err != nil {
		return Caller{}, err
	}
	end := began + rememberFor
	if until != 0 {
		end = min(end, began+until-c.wall())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forgotten == forgotten {
		c.keep(key, remembered{caller, end})
	}
	return caller, nil
}

func (c *callers) keep(key string, r remembered) {
	if len(c.kept) >= c.most {
		c.makeRoom()
	}
	c.kept[key] = r
	for _, s := range r.caller.subjects() {
		if c.bySubject[s] == nil {
			c.bySubject[s] = make(map[string]struct{}, 1)
		}
		c.bySubject[s][key] = struct{}{}
	}
}

// makeRoom drops what is out of date, and if that is not enough, anything.
func (c *callers) makeRoom() {
	now := c.now()
	for key, r := range c.kept {
		if now >= r.until {
			c.drop(key)
		}
	}
	for key := range c.kept {
		if len(c.kept) < c.most*9/10 {
			return
		}
		c.drop(key)
	}
}

func (c *callers) drop(key string) {
	for _, s := range c.kept[key].caller.subjects() {
		delete(c.bySubject[s], key)
		if len(c.bySubject[s]) == 0 {
			delete(c.bySubject, s)
		}
	}
	delete(c.kept, key)
}

func (c *callers) forget(s subject) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgotten++
	for key := range c.bySubject[s] {
		c.drop(key)
	}
}

func (c Caller) subjects() (list []subject) {
	if c.User != 0 {
		list = append(list, subject{user: c.User})
	}
	if c.Session != "" {
		list = append(list, subject{credential: c.Session})
	}
	if c.Key != "" {
		list = append(list, subject{credential: c.Key})
	}
	return list
}

// Forget makes the next call of a session or an API key look it up again. It is for
// session.revoked and token.revoked of other nodes.
func (a *Accounts) Forget(sessionOrKey string) { a.cache.forget(subject{credential: sessionOrKey}) }

// ForgetUser does the same for all calls of a user, for events about accounts.
func (a *Accounts) ForgetUser(id int64) { a.cache.forget(subject{user: id}) }
