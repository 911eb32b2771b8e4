package api_test

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/alerts"
	"github.com/kuranty/kuranty/internal/analytics"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/payments"
	"github.com/kuranty/kuranty/internal/status"
	"github.com/kuranty/kuranty/internal/tickets"
	"github.com/kuranty/kuranty/internal/trust"
)

//go:embed testdata/permissions.txt
var permissions string

// roles are the columns of the table.
var roles = []string{"anon", "susp", "svc", "strg", "gone", "memb", "auth", "admn", "ownr", "root"}

// placeholder is a name of the stage.
var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

// permission is a line of the table.
type permission struct {
	operation, path, body string
	want                  map[string]int
}

func readPermissions(t *testing.T) (all []permission) {
	t.Helper()
	for line := range strings.Lines(permissions) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		cells := strings.SplitN(line, "|", 4)
		if len(cells) != 4 {
			t.Fatalf("line %q has %d columns", line, len(cells))
		}
		p := permission{
			operation: strings.Join(strings.Fields(cells[0]), " "), path: "/api/v2" + strings.TrimSpace(cells[1]),
			body: strings.TrimSpace(cells[3]), want: make(map[string]int),
		}
		statuses := strings.Fields(cells[2])
		if len(statuses) != len(roles) {
			t.Fatalf("%s: %d statuses for %d roles", p.operation, len(statuses), len(roles))
		}
		for i, s := range statuses {
			n, err := strconv.Atoi(s)
			if err != nil {
				t.Fatal(err)
			}
			p.want[roles[i]] = n
		}
		all = append(all, p)
	}
	return all
}

// stage is what the table's names stand for.
type stage struct {
	s     *server
	who   map[string]*person
	names map[string]string
	made  int
}

func newStage(t *testing.T) *stage {
	s := start(t, options{})
	g := &stage{s: s, names: make(map[string]string), who: map[string]*person{"anon": s.anonymous(), "svc": s.service(), "root": s.admin("Root")}}
	for _, role := range []string{"susp", "strg", "gone", "memb", "auth", "admn", "ownr"} {
		g.who[role] = s.person(role)
	}
	target, banned, other, victim := s.person("Target"), s.person("Banned"), s.person("Person"), s.person("Victim")
	g.who["target"], g.who["banned"], g.who["person"], g.who["victim"] = target, banned, other, victim
	for name, p := range map[string]*person{"target": target, "banned": banned, "person": other, "victim": victim} {
		g.names[name] = fmt.Sprint(p.id)
	}
	if err := s.accounts.Suspend(t.Context(), identity.Operator("test"), g.who["susp"].id); err != nil {
		t.Fatal(err)
	}
	return g
}

// set makes new objects for a line of the table, on which nothing has been done yet.
func (g *stage) set(t *testing.T, p permission) {
	t.Helper()
	ctx, s, c := t.Context(), g.s, g.s.chats
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	needs := func(name string) bool { return strings.Contains(p.path+p.body, "{"+name) }
	id := func(role string) int64 { return g.who[role].id }
	g.made++
	g.names["cell"] = fmt.Sprint(g.made)
	if g.grouped(p) {
		g.setGroup(t, p)
	}
	if g.paired(p) {
		letter, _, err := c.SendToUser(ctx, id("auth"), id("memb"), chat.Sending{Text: "hello"})
		must(err)
		g.names["direct"], g.names["letter"] = fmt.Sprint(letter.Chat), fmt.Sprint(letter.ID)
	}
	if needs("file") {
		loose, err := s.files.Upload(ctx, id("memb"), "b.txt", "", strings.NewReader("text"))
		must(err)
		g.names["file"] = loose.ID
	}
	if needs("upload") {
		up, err := s.files.CreateUpload(ctx, id("memb"), "c.txt", 3)
		must(err)
		g.names["upload"] = up.ID
	}
	if needs("session") {
		session, err := s.accounts.Login(ctx, g.username(t, "memb"), password, identity.Device{Address: "10.0.0.1"})
		must(err)
		g.names["session"] = session.Session.ID
	}
	for name, pending := range map[string]bool{"paid": false, "pending": true} {
		if needs(name) {
			paid, _, err := s.payments.Create(ctx, "key:test", payments.NewTransaction{User: id("memb"), Type: payments.Deposit, Amount: 500, Pending: pending})
			must(err)
			g.names[name] = fmt.Sprint(paid.ID)
		}
	}
	if needs("ticket") || needs("answer") {
		g.setTicket(t)
	}
	if needs("planned") || needs("running") {
		m, err := s.status.Plan(ctx, "key:test", status.Plan{Title: "Disks"})
		must(err)
		g.names["planned"] = m.ID
		if needs("running") {
			_, err = s.status.Start(ctx, "key:test", m.ID)
			must(err)
			g.names["running"] = m.ID
		}
	}
	if needs("identity") || needs("proof") {
		g.setIdentity(t)
	}
	if needs("report") {
		r, err := s.analytics.Create(ctx, "key:test", analytics.Draft{Type: analytics.Usage})
		must(err)
		g.names["report"] = r.ID
	}
	if needs("alert") {
		a, _, err := s.alerts.Raise(ctx, "key:test", alerts.Draft{Title: "alert " + g.names["cell"], Severity: alerts.High})
		must(err)
		g.names["alert"] = alerts.AlertName(a.ID)
	}
	if needs("scan") {
		scan, err := s.alerts.Scan(ctx, "key:test", alerts.Quick, "")
		must(err)
		g.names["scan"] = alerts.ScanName(scan.ID)
	}
	if needs("doomed") {
		g.names["doomed"] = fmt.Sprint(s.person(fmt.Sprintf("Doomed%d", g.made)).id)
	}
	if needs("key") {
		_, k, err := s.accounts.CreateKey(ctx, identity.Operator("test"), "key", nil, 0)
		must(err)
		g.names["key"] = k.ID
	}
}

// setTicket makes a ticket that an administrator has answered with a file.
func (g *stage) setTicket(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	th, err := g.s.tickets.Open(ctx, tickets.Caller{User: g.who["memb"].id}, tickets.New{Title: "Title", Text: "text"})
	if err != nil {
		t.Fatal(err)
	}
	root := g.who["root"].id
	f, err := g.s.files.Upload(ctx, root, "d.txt", "", strings.NewReader("text"))
	if err == nil {
		_, _, err = g.s.tickets.Reply(ctx, tickets.Caller{User: root, Operator: true}, th.Ticket.ID, "answer", []tickets.File{{ID: f.ID}})
	}
	if err != nil {
		t.Fatal(err)
	}
	g.names["ticket"], g.names["answer"] = fmt.Sprint(th.Ticket.ID), f.ID
}

// grouped and paired tell whether a line is about the group, or the chat of two.
func (g *stage) grouped(p permission) bool {
	return regexp.MustCompile(`\{(group|message|sent|invite|invitename)\}`).MatchString(p.path + p.body)
}

func (g *stage) paired(p permission) bool {
	return regexp.MustCompile(`\{(direct|letter)\}`).MatchString(p.path + p.body)
}

// setGroup makes a group, what was said there, and an invitation.
func (g *stage) setGroup(t *testing.T, p permission) {
	t.Helper()
	ctx, c := t.Context(), g.s.chats
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	id := func(role string) int64 { return g.who[role].id }
	v, _, err := c.CreateGroup(ctx, id("ownr"), chat.NewGroup{Title: "Группа", Users: []int64{
		id("admn"), id("memb"), id("auth"), id("target"), id("banned"), id("gone"),
	}})
	must(err)
	room := v.Chat.ID
	must(c.SetRole(ctx, id("ownr"), room, id("admn"), chat.Admin), c.Remove(ctx, id("ownr"), room, id("gone"), false))
	if strings.Contains(p.path, "{banned}") {
		must(c.Remove(ctx, id("ownr"), room, id("banned"), true))
	}
	hello := chat.Sending{Text: "hello"}
	if strings.Contains(p.path, "{sent}") {
		sent, err := g.s.files.Upload(ctx, id("auth"), "a.txt", "", strings.NewReader("text"))
		must(err)
		hello.Files, g.names["sent"] = []chat.Attachment{{ID: sent.ID}}, sent.ID
	}
	m, _, err := c.Send(ctx, id("auth"), room, hello)
	must(err)
	if strings.Contains(p.path, "/reactions") {
		_, err = c.React(ctx, id("memb"), m.ID, "👍", true)
		must(err)
	}
	g.names["group"], g.names["message"] = fmt.Sprint(room), fmt.Sprint(m.ID)
	if !strings.Contains(p.path, "{invite") {
		return
	}
	in, err := c.CreateInvite(ctx, id("ownr"), room, 0, 0)
	must(err)
	listed, err := c.Invites(ctx, id("ownr"), room)
	must(err)
	g.names["invite"], g.names["invitename"] = in.ID, listed[0].ID
}

// setIdentity makes an identity of memb, where none has one, and a verification that an
// operator is to decide.
func (g *stage) setIdentity(t *testing.T) {
	t.Helper()
	ctx, memb := t.Context(), g.who["memb"].id
	by := trust.Caller{User: memb, Actor: event.User(memb)}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, who := range g.who {
		must(g.s.trust.Personal().Erase(ctx, who.id))
	}
	i, err := g.s.trust.Create(ctx, by, trust.NewIdentity{Username: "memb", PublicKey: aKey})
	must(err)
	v, err := g.s.trust.Begin(ctx, by, trust.NewVerification{Type: trust.Document})
	must(err)
	g.names["identity"], g.names["proof"] = i.ID, v.ID
}

// aKey is an Ed25519 public key.
const aKey = "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"

func (g *stage) username(t *testing.T, role string) string {
	t.Helper()
	acc, err := g.s.accounts.Account(t.Context(), g.who[role].id)
	if err != nil {
		t.Fatal(err)
	}
	return acc.Username
}

func (g *stage) fill(text string) string {
	for name, value := range g.names {
		text = strings.ReplaceAll(text, "{"+name+"}", value)
	}
	return text
}

func (g *stage) run(p permission, role string) *answered {
	method, _, _ := strings.Cut(p.operation, " ")
	q := request{method: method, path: g.fill(p.path)}
	if p.body != "" {
		q.body = json.RawMessage(g.fill(p.body))
	}
	return g.who[role].send(q)
}

// seen is what of the objects must not change when calls are refused.
func (g *stage) seen(t *testing.T, p permission) string {
	t.Helper()
	var b strings.Builder
	see := func(role string, paths ...string) {
		for _, path := range paths {
			b.Write(g.who[role].do("GET", "/api/v2"+g.fill(path), nil).want(200).body)
		}
	}
	if g.grouped(p) {
		see("ownr", "/chats/{group}", "/chats/{group}/messages", "/chats/{group}/members")
	}
	if g.paired(p) {
		see("auth", "/chats/{direct}/messages")
	}
	if strings.Contains(p.path, "{ticket}") {
		see("memb", "/tickets/{ticket}")
	}
	return b.String()
}

func TestS14_EveryOperationIsInTheTable(t *testing.T) {
	s := start(t, options{})
	listed := make(map[string]bool)
	for _, p := range readPermissions(t) {
		listed[p.operation] = true
	}
	for _, o := range s.api.Operations() {
		op := o.Method + " " + o.Path
		if !listed[op] {
			t.Errorf("%s (%s) is not in testdata/permissions.txt: say who may do it", op, o.Access)
		}
		delete(listed, op)
	}
	for op := range listed {
		t.Errorf("%s is in testdata/permissions.txt, but there is no such operation", op)
	}
}

func TestS14_PermissionTable(t *testing.T) {
	g := newStage(t)
	for _, p := range readPermissions(t) {
		staged := placeholder.MatchString(p.path + p.body)
		before := ""
		if staged {
			g.set(t, p)
			before = g.seen(t, p)
		}
		refused := false
		for _, role := range roles {
			if p.want[role] < 400 {
				continue
			}
			refused = true
			if got := g.run(p, role); got.status != p.want[role] {
				t.Errorf("%s as %s (%s): %d, want %d: %s", p.operation, role, p.path, got.status, p.want[role], got.body)
			}
		}
		if staged && refused && before != g.seen(t, p) {
			t.Errorf("%s (%s): a refused call changed something", p.operation, p.path)
		}
		for _, role := range roles {
			if p.want[role] >= 400 {
				continue
			}
			if staged {
				g.set(t, p)
			}
			if got := g.run(p, role); got.status != p.want[role] {
				t.Errorf("%s as %s (%s): %d, want %d: %s", p.operation, role, p.path, got.status, p.want[role], got.body)
			}
			g.restore(t, p, role)
		}
	}
	if s := g.s.log.String(); s != "" {
		t.Errorf("internal errors: %s", s)
	}
}

// restore makes people as they were: logged in, unblocked, and no contacts.
func (g *stage) restore(t *testing.T, p permission, role string) {
	t.Helper()
	who := g.who[role]
	switch {
	case strings.HasSuffix(p.operation, "/auth/logout") && who.id != 0:
		grant, err := g.s.accounts.Login(t.Context(), g.username(t, role), password, identity.Device{Address: "10.0.0.1"})
		if err != nil {
			t.Fatal(err)
		}
		who.token = grant.AccessToken
	case strings.HasPrefix(p.operation, "PUT /api/v2/blocks"):
		if err := g.s.chats.Unblock(t.Context(), who.id, g.who["person"].id); err != nil {
			t.Fatal(err)
		}
	case strings.HasPrefix(p.operation, "PATCH /api/v2/admin/users"):
		if err := g.s.accounts.Unsuspend(t.Context(), identity.Operator("test"), g.who["victim"].id); err != nil {
			t.Fatal(err)
		}
	case strings.HasSuffix(p.operation, "/contacts/requests"):
		if err := g.s.chats.RemoveContact(t.Context(), who.id, g.who["person"].id); err != nil {
			t.Fatal(err)
		}
	}
}
