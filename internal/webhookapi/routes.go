package webhookapi

import "strings"

// keysPath is where receivers find the keys that v1a signatures are checked with.
const keysPath = "/.well-known/webhook-keys"

// route is an endpoint: what is served, to whom, and what is said of it in the document.
type route struct {
	method, path string
	// access are the scopes of which one is needed; nil lets everybody in.
	access []string
	// repeatable says that its first answer to an Idempotency-Key is repeated.
	repeatable bool
	serve      func(*request) (answer, error)
	about      about
}

// matches tells whether a path is the route's, and the parts that it names.
func (r *route) matches(path string) (parts map[string]string, ok bool) {
	want, got := strings.Split(r.path, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, false
	}
	parts = map[string]string{}
	for i, word := range want {
		name, variable := strings.CutPrefix(word, "{")
		switch {
		case variable && got[i] != "":
			parts[strings.TrimSuffix(name, "}")] = got[i]
		case word != got[i]:
			return nil, false
		}
	}
	return parts, true
}

// table lists the endpoints. The first that matches serves, so words stand before variables.
func (a *API) table() []route {
	read, write, log := []string{scopeRead}, []string{scopeWrite}, []string{scopeDeliveries}
	readLog := []string{scopeRead, scopeDeliveries}
	const hook, one = "/webhooks/{webhook_id}", "/webhooks/{webhook_id}/deliveries/{delivery_id}"
	return []route{
		{"POST", "/webhooks", write, true, a.create, aboutCreate},
		{"GET", "/webhooks", read, false, a.list, aboutList},
		{"GET", "/webhooks/stats", read, false, a.totals, aboutTotals},
		{"GET", "/webhooks/meta", read, false, a.meta, aboutMeta},
		{"POST", "/webhooks/verify-signature", read, false, a.checkSignature, aboutCheckSignature},
		{"GET", "/webhooks/jobs/{job_id}", readLog, false, a.job, aboutJob},
		{"DELETE", "/webhooks/jobs/{job_id}", log, false, a.cancelJob, aboutCancelJob},
		{"GET", hook, read, false, a.get, aboutGet},
		{"PATCH", hook, write, false, a.patch, aboutPatch},
		{"DELETE", hook, write, false, a.remove, aboutRemove},
		{"GET", hook + "/deliveries", readLog, false, a.deliveries, aboutDeliveries},
		{"GET", one, readLog, false, a.delivery, aboutDelivery},
		{"POST", one + "/redeliver", log, true, a.redeliver, aboutRedeliver},
		{"POST", one + "/cancel", log, true, a.cancel, aboutCancel},
		{"DELETE", one + "/payload", log, false, a.erase, aboutErase},
		{"GET", hook + "/stats", readLog, false, a.stats, aboutStats},
		{"POST", hook + "/recover", log, true, a.recover, aboutRecover},
		{"POST", hook + "/replay", log, true, a.replay, aboutReplay},
		{"POST", hook + "/test", write, true, a.test, aboutTest},
		{"POST", hook + "/match", read, false, a.match, aboutMatch},
		{"GET", hook + "/secret", write, false, a.secret, aboutSecret},
		{"POST", hook + "/secret/rotate", write, true, a.rotate, aboutRotate},
		{"DELETE", hook + "/secret/previous", write, false, a.endRotation, aboutEndRotation},
		{"GET", keysPath, nil, false, a.keys, aboutKeys},
	}
}
