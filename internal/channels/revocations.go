package channels

import (
	"sync/atomic"

	"github.com/kuranty/kuranty/protocol"
)

// revocations counts, roughly by user, what has been taken away. A connection that is
// being let in cannot be found yet, so it looks at the count before it is and after: if
// something was taken away in between, it has to come again. Users share counters, so
// one in hundreds comes again for somebody else's loss, which costs nothing but time.
type revocations [256]atomic.Uint64

// note counts that something was taken away from a user. It is called before what the
// user has is ended, and after what is remembered of it has been forgotten.
func (r *revocations) note(users ...int64) {
	for _, user := range users {
		r.of(user).Add(1)
	}
}

func (r *revocations) of(user int64) *atomic.Uint64 { return &r[uint64(user)%uint64(len(r))] }

// since returns what tells that nothing has been taken away from user since now.
func (r *revocations) since(user int64) func() error {
	before := r.of(user).Load()
	return func() error {
		if r.of(user).Load() != before {
			return protocol.CloseInsufficient // which advises to reconnect
		}
		return nil
	}
}
