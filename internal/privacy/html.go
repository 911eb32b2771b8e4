package privacy

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
)

// The pages of an export are for reading from a disk. They have no scripts and load
// nothing; the policy in them says so, whoever may serve them, and allows the one style by
// its hash. Whatever people wrote is escaped by the templates (guarantees.md S33).

const style = `:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}table{border-collapse:collapse}td,th{text-align:left;vertical-align:top;padding:.15rem 1rem .15rem 0}
article{margin:.8rem 0}article.own{margin-left:3rem}article.system{color:#777;text-align:center}
article p{white-space:pre-wrap;overflow-wrap:anywhere;margin:.1rem 0}header{font-size:.85rem;color:#777}
blockquote{margin:.2rem 0;padding-left:.6rem;border-left:3px solid #999;color:#777;white-space:pre-wrap}`

func head() string {
	sum := sha256.Sum256([]byte(style))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
	return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="` + policy + `">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>` + style + `</style>`
}

func parse(name, text string) *template.Template {
	return template.Must(template.New(name).Parse(text))
}

type indexData struct {
	Me    profileCopy
	Chats []chatCopy
	Files []fileCopy
	At    time.Time
}

var indexPage = parse("index", head()+`<title>Export of {{.Me.Name}}</title></head><body>
<h1>{{.Me.Name}}</h1>
<p>Everything that was yours to see on {{.At.UTC.Format "2 January 2006, 15:04"}} UTC. The .json files have the same for programs.</p>
<table>
<tr><th>Number</th><td>{{.Me.ID}}</td></tr>
{{with .Me.Username}}<tr><th>User name</th><td>{{.}}</td></tr>
{{end}}{{with .Me.Email}}<tr><th>E-mail</th><td>{{.}}</td></tr>
{{end}}{{with .Me.About}}<tr><th>About</th><td>{{.}}</td></tr>
{{end}}<tr><th>Since</th><td>{{.Me.CreatedAt}}</td></tr>
</table>
<h2>Chats</h2>
<ul>{{range .Chats}}
<li><a href="{{.Folder}}/messages.html">{{.Name}}</a>, {{.Messages}} messages</li>{{end}}
</ul>
<h2>Contacts</h2>
<ul>{{range .Me.Contacts}}
<li>{{.Name}} ({{.State}})</li>{{end}}
</ul>
<h2>Blocked</h2>
<ul>{{range .Me.Blocked}}
<li>{{.Name}}</li>{{end}}
</ul>
<h2>Sessions</h2>
<table><tr><th>Device</th><th>Address</th><th>Begun</th><th>Last used</th></tr>{{range .Me.Sessions}}
<tr><td>{{.Device}} {{.Platform}}</td><td>{{.IP}}</td><td>{{.CreatedAt}}</td><td>{{.LastUsed}}</td></tr>{{end}}
</table>
<h2>Files</h2>
<ul>{{range .Files}}
<li>{{if .Path}}<a href="{{.Path}}">{{.Name}}</a>{{else}}{{.Name}}, left out{{end}} ({{.Size}} bytes)</li>{{end}}
</ul>
</body></html>
`)

var chatHead = parse("chat", head()+`<title>{{.Name}}</title></head><body>
<p><a href="../../index.html">All chats</a></p>
<h1>{{.Name}}</h1>
{{with .About}}<p>{{.}}</p>
{{end}}`)

const chatFoot = "</body></html>\n"

// row is a message on a page.
type row struct {
	messageCopy
	Class string
	Links []link
}

// link is a file of a message; Href is empty for one elsewhere.
type link struct{ Href, Name string }

func rowOf(m *chat.Message, user int64) row {
	r := row{messageCopy: copyMessage(m), Class: "other"}
	switch {
	case m.Type == chat.SystemMessage:
		r.Class = "system"
	case m.Sender.ID == user:
		r.Class = "own"
	}
	for _, f := range m.Files {
		l := link{Name: f.Name}
		if f.ID != "" {
			l.Href = "../../files/" + f.ID + extension(f.Name)
		} else if l.Name == "" {
			l.Name = f.URL
		}
		r.Links = append(r.Links, l)
	}
	return r
}

var messageRow = parse("message", `<article class="{{.Class}}" id="m{{.Seq}}">
<header>{{with .Sender}}{{.Name}} · {{end}}<time datetime="{{.CreatedAt}}">{{.CreatedAt}}</time>{{if .EditedAt}} · edited{{end}}</header>
{{with .Forward}}<header>from {{.Sender}}</header>
{{end}}{{with .ReplyTo}}<blockquote>{{.Sender}}: {{.Text}}</blockquote>
{{end}}{{with .Text}}<p>{{.}}</p>
{{end}}{{range .Links}}<p>{{if .Href}}<a href="{{.Href}}">{{.Name}}</a>{{else}}{{.Name}}{{end}}</p>
{{end}}{{with .Reactions}}<p>{{range .}}{{.Emoji}} {{.Count}} {{end}}</p>
{{end}}</article>
`)
