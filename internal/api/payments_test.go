package api_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/privacy"
)

// key makes a service with scopes.
func (s *server) key(scopes ...string) *person {
	s.t.Helper()
	key, _, err := s.accounts.CreateKey(s.t.Context(), identity.Operator("test"), "key", scopes, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	return &person{s: s, name: "key", token: key}
}

func TestTransactions(t *testing.T) {
	onBoth(t, func(t *testing.T, s *server) {
		const path = "/api/v2/transactions"
		shop, anna, boris, root := s.key("payments:read", "payments:write"), s.person("Anna"), s.person("Boris"), s.admin("Root")
		deposit := obj{"user_id": anna.id, "type": "deposit", "amount_kopeks": 15000, "payment_method": "card", "external_id": "pi_1", "description": "Пополнение"}
		first := shop.do("POST", path, deposit).want(201).is("user_id", anna.id, "type", "deposit", "amount_kopeks", 15000, "payment_method", "card",
			"external_id", "pi_1", "is_completed", true, "description", "Пополнение", "created_at", "2026-05-01T12:00:00.000Z", "completed_at", "2026-05-01T12:00:00.000Z")
		if again := root.do("POST", path, deposit).want(200); string(again.body) != string(first.body) {
			t.Errorf("the same again: %s", again.body)
		}
		deposit["amount_kopeks"] = 15001
		shop.do("POST", path, deposit).refused(409, "idempotency_conflict").is("error.details.transaction_id", first.num("id"))

		withdrawal := obj{"user_id": fmt.Sprint(anna.id), "type": "withdrawal", "amount_kopeks": 15001, "payment_method": nil, "external_id": nil, "description": nil, "is_completed": nil}
		shop.do("POST", path, withdrawal).refused(409, "insufficient_balance")
		withdrawal["amount_kopeks"] = 1
		shop.do("POST", path, withdrawal).want(201).is("payment_method", nil, "external_id", nil, "description", nil, "is_completed", true)
		anna.do("GET", "/api/v2/balance", nil).want(200).is("user_id", anna.id, "balance_kopeks", 14999)
		boris.do("GET", "/api/v2/balance", nil).want(200).is("balance_kopeks", 0)
		for _, who := range []*person{shop, root, anna} {
			who.do("GET", fmt.Sprintf("/api/v2/users/%d/balance", anna.id), nil).want(200).is("balance_kopeks", 14999)
		}
		shop.do("GET", "/api/v2/users/404404/balance", nil).refused(404, "not_found")
		shop.do("POST", path, obj{"user_id": anna.id, "type": "refund", "amount_kopeks": math.MaxInt64}).refused(409, "balance_limit")

		// A pending one is completed once, by either method.
		for _, complete := range []request{
			{method: "PATCH", body: obj{"is_completed": true}}, {method: "POST"}, {method: "POST", body: obj{}}, {method: "POST", body: obj{"is_completed": true}},
		} {
			pending := shop.do("POST", path, obj{"user_id": boris.id, "type": "deposit", "amount_kopeks": 7, "is_completed": false}).want(201).is("is_completed", false, "completed_at", nil)
			complete.path = path + "/" + pending.str("id")
			for _, wrong := range []any{obj{"is_completed": false}, obj{"is_completed": "yes"}} {
				if got := shop.do(complete.method, complete.path, wrong); got.status != 422 && got.status != 400 {
					t.Errorf("%s %v: %d %s", complete.method, wrong, got.status, got.body)
				}
			}
			s.advance(time.Minute)
			shop.send(complete).want(200).is("is_completed", true)
			shop.send(complete).want(200).is("is_completed", true)
		}
		shop.do("PATCH", path+"/"+first.str("id"), obj{}).refused(422, "validation").is("error.details.fields.0.field", "is_completed")
		boris.do("GET", "/api/v2/balance", nil).want(200).is("balance_kopeks", 28)

		// People see theirs, and what is not theirs as if it were not there.
		anna.do("GET", path, nil).want(200).is("transactions.0.type", "withdrawal", "transactions.1.type", "deposit", "next_cursor", nil)
		boris.do("GET", path+"?limit=3", nil).want(200).is("transactions.2.user_id", boris.id)
		next := boris.do("GET", path+"?limit=3", nil).str("next_cursor")
		if page := boris.do("GET", path+"?limit=3&cursor="+next, nil).want(200); page.len("transactions") != 1 {
			t.Errorf("second page: %s", page.body)
		}
		foreign, absent := boris.do("GET", path+"/"+first.str("id"), nil).refused(404, "not_found"), boris.do("GET", path+"/404404", nil).refused(404, "not_found")
		if foreign.str("error.message") != absent.str("error.message") {
			t.Errorf("foreign: %s, absent: %s", foreign.body, absent.body)
		}
		boris.do("GET", fmt.Sprintf("%s?user_id=%d", path, anna.id), nil).want(200).is("transactions", []any{}, "next_cursor", nil)
		if page := shop.do("GET", path, nil).want(200); page.len("transactions") != 6 {
			t.Errorf("all: %s", page.body)
		}
		shop.do("GET", path+"?type=withdrawal", nil).want(200).is("transactions.0.user_id", anna.id)
		if page := root.do("GET", fmt.Sprintf("%s?user_id=%d", path, anna.id), nil).want(200); page.len("transactions") != 2 {
			t.Errorf("Anna's: %s", page.body)
		}
		shop.do("GET", path+"?cursor=x", nil).refused(422, "validation").is("error.details.fields.0.field", "cursor")
		if s.log.Len() > 0 {
			t.Errorf("internal errors: %s", s.log)
		}
	})
}

// A key needs the scope of what it does, and people the role (guarantees.md S14, S20).
func TestS14_ScopesOfPayments(t *testing.T) {
	s := start(t, options{accounts: longTokens})
	anna, root := s.person("Anna"), s.admin("Root")
	deposit := obj{"user_id": anna.id, "type": "deposit", "amount_kopeks": 1}
	own := fmt.Sprintf("/api/v2/users/%d/balance", anna.id)
	for _, c := range []struct {
		scopes               []string
		list, write, balance int
	}{
		{[]string{"payments:read"}, 200, 403, 200},
		{[]string{"payments:write"}, 403, 201, 403},
		{[]string{"payments:*"}, 200, 201, 200},
		{[]string{"tickets:read", "tickets:write", "webhooks:read"}, 403, 403, 403},
		{[]string{"admin"}, 200, 201, 200},
		{[]string{"*"}, 200, 201, 200},
	} {
		k := s.key(c.scopes...)
		k.do("GET", "/api/v2/transactions", nil).want(c.list)
		k.do("POST", "/api/v2/transactions", deposit).want(c.write)
		k.do("GET", own, nil).want(c.balance)
		k.do("GET", "/api/v2/balance", nil).refused(403, "forbidden")
	}
	root.do("POST", "/api/v2/transactions", deposit).want(201)
	s.advance(freshLogin + time.Second)
	root.do("POST", "/api/v2/transactions", deposit).refused(403, "login_too_old")
	root.do("PATCH", "/api/v2/transactions/1", obj{"is_completed": true}).refused(403, "login_too_old")
	root.do("GET", "/api/v2/transactions", nil).want(200)
}

// S36: who moved money is on record.
func TestS36_MoneyIsOnRecord(t *testing.T) {
	s := start(t, options{})
	anna, root := s.person("Anna"), s.admin("Root")
	body := obj{"user_id": anna.id, "type": "deposit", "amount_kopeks": 5, "is_completed": false, "external_id": "x"}
	made := root.do("POST", "/api/v2/transactions", body).want(201)
	root.do("POST", "/api/v2/transactions", body).want(200)
	root.do("PATCH", "/api/v2/transactions/"+made.str("id"), obj{"is_completed": true}).want(200)
	root.do("PATCH", "/api/v2/transactions/"+made.str("id"), obj{"is_completed": true}).want(200)
	actor, target := fmt.Sprintf("user:%d", root.id), fmt.Sprintf("user:%d", anna.id)
	page := root.do("GET", "/api/v2/admin/audit", nil).want(200).is(
		"entries.0.action", "transaction.complete", "entries.0.actor", actor, "entries.0.target", target, "entries.0.data.amount_kopeks", 5,
		"entries.1.action", "transaction.create", "entries.1.actor", actor, "entries.1.data.is_completed", false)
	if page.len("entries") != 2 {
		t.Errorf("on record: %s", page.body)
	}
}

// R35, S24: whatever is sent is refused with the field's name, or taken; never an error of ours.
func TestR35_HostileTransactions(t *testing.T) {
	s := start(t, options{})
	anna, shop := s.person("Anna"), s.service()
	post := func(body string) *answered {
		return shop.send(request{method: "POST", path: "/api/v2/transactions", body: []byte(body), header: http.Header{"Content-Type": {"application/json"}}})
	}
	good := func() obj { return obj{"user_id": anna.id, "type": "deposit", "amount_kopeks": 1} }
	long := strings.Repeat("ж", 1001)
	for field, values := range map[string][]any{
		"user_id":        {nil, 0, -1, 1.5, "x", "", "01", true, []int{1}, obj{}, 404404, int64(1) << 60},
		"type":           {nil, "", "DEPOSIT", "deposit ", 1, []string{"deposit"}, strings.Repeat("d", 100_000)},
		"amount_kopeks":  {nil, -1, 0.5, "1", "", true, json.RawMessage("9223372036854775808"), json.RawMessage("1.0"), json.RawMessage("1e2"), json.RawMessage("1e300"), json.RawMessage("-9223372036854775809"), obj{}},
		"payment_method": {1, true, obj{}, "a\nb", "\x00", long[:130]},
		"external_id":    {1, true, []string{"x"}, "\x00", "a\tb", long[:512]},
		"description":    {1, true, obj{}, "\x00", "\x1b[2J", long},
		"is_completed":   {1, "true", "", obj{}},
	} {
		for _, v := range values {
			body := good()
			body[field] = v
			text, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			got := post(string(text))
			if got.status != 422 && got.status != 400 || !strings.Contains(string(got.body), field) {
				t.Errorf("%.100s: %d %.300s", text, got.status, got.body)
			}
		}
		if field == "user_id" || field == "type" || field == "amount_kopeks" {
			body := good()
			delete(body, field)
			if got := shop.do("POST", "/api/v2/transactions", body); got.status != 422 || !strings.Contains(string(got.body), field) {
				t.Errorf("without %s: %d %s", field, got.status, got.body)
			}
		}
	}
	for _, body := range []string{"", "null", "[]", "1", `"x"`, "{", "{}", `{"user_id":1,"user_id":2}`, strings.Repeat("[", 10_000), `{"user_id":` + strings.Repeat("1", 100_000) + `}`} {
		if got := post(body); got.status < 400 || got.status >= 500 {
			t.Errorf("%.50s: %d %.200s", body, got.status, got.body)
		}
	}
	for _, path := range []string{
		"/transactions/0", "/transactions/-1", "/transactions/x", "/transactions/99999999999999999999", "/users/0/balance", "/users/%00/balance",
		"/transactions?user_id=x", "/transactions?type=x", "/transactions?limit=201", "/transactions?limit=-1", "/transactions?cursor=" + strings.Repeat("9", 41),
	} {
		if got := shop.do("GET", "/api/v2"+path, nil); got.status < 400 || got.status >= 500 {
			t.Errorf("%.50s: %d %.200s", path, got.status, got.body)
		}
	}
	// A field that is not listed never takes effect (S17); the greatest sum does.
	body := good()
	body["id"], body["created_at"], body["amount_kopeks"] = 7777, "2000-01-01T00:00:00Z", math.MaxInt64
	if got := shop.do("POST", "/api/v2/transactions", body); got.status == 201 {
		got.is("amount_kopeks", math.MaxInt64, "created_at", "2026-05-01T12:00:00.000Z")
		if got.num("id") == 7777 {
			t.Errorf("took the id: %s", got.body)
		}
	} else if got.status != 422 {
		t.Errorf("unknown fields: %d %s", got.status, got.body)
	}
	if s.log.Len() > 0 {
		t.Errorf("internal errors: %s", s.log)
	}
}

// A key of idempotency repeats the reply; many at once over the wire never overdraw.
func TestTransactionsAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, s *server) {
		anna, shop := s.person("Anna"), s.service()
		deposit := request{method: "POST", path: "/api/v2/transactions", body: obj{"user_id": anna.id, "type": "deposit", "amount_kopeks": 30}, header: http.Header{"Idempotency-Key": {"once"}}}
		shop.send(deposit).want(201)
		if again := shop.send(deposit).want(201); again.header.Get("Idempotency-Replayed") != "true" {
			t.Error("the reply was not repeated")
		}
		var wg sync.WaitGroup
		var taken atomic.Int64
		for range 100 {
			wg.Go(func() {
				switch got := shop.do("POST", "/api/v2/transactions", obj{"user_id": anna.id, "type": "withdrawal", "amount_kopeks": 1}); got.status {
				case 201:
					taken.Add(1)
				case 409:
				default:
					t.Errorf("%d %s", got.status, got.body)
				}
			})
		}
		wg.Wait()
		if taken.Load() != 30 {
			t.Errorf("%d of 30 were taken", taken.Load())
		}
		anna.do("GET", "/api/v2/balance", nil).want(200).is("balance_kopeks", 0)
	})
}

// S37: the part of payments is in the export of a person, and names nobody after erasure.
func TestS37_PaymentsOfThePerson(t *testing.T) {
	onBoth(t, func(t *testing.T, s *server) {
		ctx := t.Context()
		anna, boris, shop := s.person("Anna"), s.person("Boris"), s.service()
		secret := func(who *person, typ string, completed bool) obj {
			return obj{"user_id": who.id, "type": typ, "amount_kopeks": 9, "payment_method": "card", "external_id": fmt.Sprintf("zext%d%s%v", who.id, typ, completed), "description": fmt.Sprintf("zdesc%d", who.id), "is_completed": completed}
		}
		for _, who := range []*person{anna, boris} {
			shop.send(request{method: "POST", path: "/api/v2/transactions", body: secret(who, "deposit", true), header: http.Header{"Idempotency-Key": {fmt.Sprint(who.id)}}}).want(201)
			shop.do("POST", "/api/v2/transactions", secret(who, "poll_reward", false)).want(201)
			shop.do("POST", "/api/v2/transactions", secret(who, "deposit", false)).want(201)
		}
		var part privacy.Part = s.payments.Part()
		files := make(map[string]string)
		err := part.Export(ctx, anna.id, func(name string, v any) error {
			b, err := json.Marshal(v)
			files[name] = string(b)
			return err
		})
		if err != nil || files["balance"] != `{"balance_kopeks":9}` || strings.Count(files["transactions"], fmt.Sprintf("zdesc%d", anna.id)) != 3 || strings.Contains(files["transactions"], fmt.Sprintf("zdesc%d", boris.id)) {
			t.Errorf("export: %v, %v", files, err)
		}
		if err := s.accounts.Delete(ctx, identity.Operator("test"), anna.id); err != nil {
			t.Fatal(err)
		}
		for range 2 { // as after a crash
			if err := part.Erase(ctx, anna.id); err != nil {
				t.Fatal(err)
			}
		}
		all := string(shop.do("GET", "/api/v2/transactions", nil).want(200).body)
		if strings.Contains(all, fmt.Sprintf("zdesc%d", anna.id)) || strings.Contains(all, fmt.Sprintf("zext%d", anna.id)) {
			t.Errorf("texts of the erased are left: %s", all)
		}
		if n := strings.Count(all, fmt.Sprintf("zdesc%d", boris.id)); n != 3 {
			t.Errorf("texts of others are there %d times: %s", n, all)
		}
		replayed := func(who *person) *answered {
			return shop.send(request{method: "POST", path: "/api/v2/transactions", body: secret(who, "deposit", true), header: http.Header{"Idempotency-Key": {fmt.Sprint(who.id)}}})
		}
		replayed(anna).refused(422, "validation") // the reply is not kept any more, and the person not there
		replayed(boris).want(201)
		// The sums stay, under the number; what waited can be completed, nothing new comes.
		shop.do("GET", fmt.Sprintf("/api/v2/users/%d/balance", anna.id), nil).want(200).is("balance_kopeks", 9)
		list := shop.do("GET", fmt.Sprintf("/api/v2/transactions?user_id=%d", anna.id), nil).want(200).is("transactions.0.description", nil, "transactions.0.external_id", nil, "transactions.0.amount_kopeks", 9)
		shop.do("POST", "/api/v2/transactions/"+list.str("transactions.0.id"), nil).want(200).is("is_completed", true)
		shop.do("POST", "/api/v2/transactions", secret(anna, "refund", true)).refused(422, "validation")
	})
}
