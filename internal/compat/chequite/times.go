package chequite

import (
	"sync"
	"time"
)

// The forms of times (chat-api.md §0.1): both in a zone for display, iso in UTC.
const (
	clockForm = "15:04"
	dateForm  = "02.01.2006 15:04"
	isoForm   = "2006-01-02T15:04:05.000Z"
)

// display writes a time, in milliseconds since 1970, in one of the forms for display.
func display(ms int64, form string, zone *time.Location) string {
	return time.UnixMilli(ms).In(zone).Format(form)
}

func iso(ms int64) string { return time.UnixMilli(ms).UTC().Format(isoForm) }

// zones remembers the zones that requests named. There are about 600 in the world, which
// bounds it; names of none are not kept.
type zones struct{ byName sync.Map }

// find returns the zone called name; ok is false if there is none.
func (z *zones) find(name string) (zone *time.Location, ok bool) {
	if found, ok := z.byName.Load(name); ok {
		return found.(*time.Location), true
	}
	if name == "" || name == "Local" || len(name) > 64 {
		return nil, false // "Local" is the server's own, whatever that is
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, false
	}
	z.byName.Store(name, zone)
	return zone, true
}
