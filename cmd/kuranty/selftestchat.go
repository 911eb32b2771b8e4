package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/kuranty/kuranty/internal/client"
)

// tester is who tries the chat, and how that is done for them: in their own name, or with
// the API key.
type tester struct {
	id    int64
	token string // of connections
	rest  client.REST
	chats string         // path of the operations on chats
	group map[string]any // body that makes a group
	all   string         // query that deletes it for all
	as    map[string]any // body of a message, without its text
}

// chat tries chat with a group of one person, both made for that.
func (t *selftest) chat() {
	var who tester
	if !t.step("chat: person", func(ctx context.Context) (string, error) {
		var err error
		if t.cmd.Login != "" {
			who, err = t.logIn(ctx)
		} else {
			who, err = t.makePerson(ctx)
		}
		if errors.Is(err, client.ErrNothing) {
			return "", skip("chat.enabled is false")
		}
		return fmt.Sprintf("user %d", who.id), err
	}) {
		return
	}
	var group struct {
		ID int64 `json:"id"`
	}
	if !t.step("chat: make a group", func(ctx context.Context) (string, error) {
		if err := t.make(ctx, &who.rest, who.chats, who.group, &group); err != nil {
			return "", err
		}
		t.undo = append(t.undo, func(ctx context.Context) error {
			err := who.rest.Call(ctx, http.MethodDelete, fmt.Sprintf("%s/%d%s", who.chats, group.ID, who.all), nil, nil)
			if err != nil {
				return fmt.Errorf("delete chat %d, which now is for kuranty chat delete %d --yes: %w", group.ID, group.ID, err)
			}
			return nil
		})
		return fmt.Sprintf("chat %d", group.ID), nil
	}) {
		return
	}
	x := &exam{
		selftest: t, what: "chat", channel: fmt.Sprintf("chat:%d", group.ID), token: who.token,
		data: func(mark string) json.RawMessage {
			return json.RawMessage(`{"type":"message","content":"` + mark + `"}`)
		},
		serverPublish: func(ctx context.Context, data json.RawMessage) error {
			var message struct{ Content string }
			if err := json.Unmarshal(data, &message); err != nil {
				return fmt.Errorf("read our own message: %w", err)
			}
			body := map[string]any{"text": message.Content, "client_id": message.Content}
			for k, v := range who.as {
				body[k] = v
			}
			return who.rest.Call(ctx, http.MethodPost, fmt.Sprintf("%s/%d/messages", who.chats, group.ID), body, nil)
		},
	}
	x.run()
	if x.subscribed {
		x.end()
	}
}

// make calls an operation that makes what is to be deleted again. An interruption waits for
// its answer, without which nobody would know what that is.
func (t *selftest) make(ctx context.Context, rest *client.REST, path string, in, result any) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.cmd.Wait)
	defer cancel()
	return rest.Call(ctx, http.MethodPost, path, in, result)
}

// logIn begins a session of the account that was named.
func (t *selftest) logIn(ctx context.Context) (tester, error) {
	password, _, err := t.cmd.Password.read()
	if err != nil {
		return tester{}, err
	}
	var session struct {
		AccessToken     string `json:"access_token"`
		RefreshToken    string `json:"refresh_token"`
		ConnectionToken string `json:"centrifugo_token"`
		User            struct {
			ID int64 `json:"id"`
		} `json:"user"`
	}
	rest := client.REST{URL: t.url}
	if err := t.make(ctx, &rest, "/auth/login", map[string]any{"login": t.cmd.Login, "password": password}, &session); err != nil {
		return tester{}, fmt.Errorf("log in as %s: %w", t.cmd.Login, err)
	}
	rest.Token = session.AccessToken
	t.undo = append(t.undo, func(ctx context.Context) error {
		if err := rest.Call(ctx, http.MethodPost, "/auth/logout", map[string]any{"refresh_token": session.RefreshToken}, nil); err != nil {
			return fmt.Errorf("log out: %w", err)
		}
		return nil
	})
	return tester{
		id: session.User.ID, token: session.ConnectionToken, rest: rest, chats: "/chats", all: "?for=all",
		group: map[string]any{"kind": "group", "title": t.mark},
	}, nil
}

// makePerson makes an account that nobody can log in to.
func (t *selftest) makePerson(ctx context.Context) (tester, error) {
	if t.api.Key == "" {
		return tester{}, skip("there is neither an API key nor a login to make a chat with; give --api-key, or --login and --password=-")
	}
	rest := client.REST{URL: t.url, Key: t.api.Key}
	var person struct {
		ID int64 `json:"id"`
	}
	err := t.make(ctx, &rest, "/admin/users", map[string]any{"username": t.mark, "name": "kuranty selftest"}, &person)
	if refused := (*client.RefusedError)(nil); errors.As(err, &refused) && refused.Status == http.StatusForbidden {
		return tester{}, skip("the API key may not make accounts (scope admin); give --login and --password=-")
	}
	if err != nil {
		return tester{}, fmt.Errorf("make an account: %w", err)
	}
	path := fmt.Sprintf("/admin/users/%d", person.ID)
	t.undo = append(t.undo, func(ctx context.Context) error {
		if err := rest.Call(ctx, http.MethodDelete, path, nil, nil); err != nil {
			return fmt.Errorf("delete user %d, which now is for kuranty user delete %d --yes: %w", person.ID, person.ID, err)
		}
		return nil
	})
	var connection struct {
		Token string `json:"token"`
	}
	if err := rest.Call(ctx, http.MethodPost, path+"/token", map[string]any{}, &connection); err != nil {
		return tester{}, fmt.Errorf("make a connection token: %w", err)
	}
	return tester{
		id: person.ID, token: connection.Token, rest: rest, chats: "/admin/chats",
		group: map[string]any{"owner_id": person.ID, "title": t.mark}, as: map[string]any{"sender_id": person.ID},
	}, nil
}
