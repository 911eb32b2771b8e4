package store

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/kuranty/kuranty/internal/search"
)

// pgbenchEvent stands for what an event tells of a message, without colons that pgbench
// would take for variables.
const pgbenchEvent = `{"message": {"id": 1000000, "chat_id": 64, "seq": 20000, "type": "text", "sender": {"id": 64, "name": "Person 63", ` +
	`"username": "filled63", "kind": "human"}, "text": "%s", "client_id": "1000000000", "created_at": 1800000000000, "version": 1, "event_seq": 20000}}`

// PgbenchScript returns the statements of sending a message as a script for pgbench, so
// that a server is measured against what PostgreSQL does of the same by itself. Each
// transaction sends text, with a number before it, from one of people people to one of
// chats groups, whose ids begin with firstPerson and firstChat.
func PgbenchScript(firstPerson, firstChat int64, people, chats int, text string) string {
	quote := func(s string) string { return `'` + strings.ReplaceAll(s, `'`, `''`) + `'` }
	// Words without their places: a colon before a digit would be a variable.
	words := regexp.MustCompile(`:[0-9A-D,]+`).ReplaceAllString(search.TSVector(text), "")
	var b strings.Builder
	fmt.Fprintf(&b, "\\set person random(%d, %d)\n", firstPerson, firstPerson+int64(people)-1)
	fmt.Fprintf(&b, "\\set chat random(%d, %d)\n", firstChat, firstChat+int64(chats)-1)
	b.WriteString("\\set number random(1, 1000000000000000000)\n\\set now 1800000000000\n")
	statement := func(sql, end string, values ...string) {
		for i := len(values); i > 0; i-- { // $17 before $1
			sql = strings.ReplaceAll(sql, "$"+strconv.Itoa(i), values[i-1])
		}
		b.WriteString(strings.Join(strings.Fields(sql), " ") + end + "\n")
	}
	statement("BEGIN", ";")
	statement(sender, ";", ":chat", ":person")
	statement(takenNumbers, ` \gset`, "(:now)::bigint", ":chat", ":person")
	statement(movedSender, ";", ":last_seq", ":now", ":chat", ":person")
	statement(addMessagePostgres, ` \gset message_`, ":chat", ":last_seq", ":person", "'text'", "(:number)::text || "+quote(" "+text), "''", "(:number)::text",
		"'0123456789abcdef0123456789abcdef'", "0", "''", "''", "''", "''", "''", "FALSE", ":now", ":last_event_seq")
	statement(indexPostgres, ";", ":message_id", "('''' || (:number)::text || ''' ' || "+quote(words)+")", "(' ''#' || (:chat)::text || '''')")
	statement(appendPostgres, ";", "'evt_' || (:number)::text", "'message.created'", "'chat:' || (:chat)::text", ":last_event_seq", ":message_id",
		"'user:' || (:person)::text", quote(fmt.Sprintf(pgbenchEvent, text)), ":now")
	statement("COMMIT", ";")
	return b.String()
}
