package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/kuranty/kuranty/client"
)

// answering is a server that answers always the same, so that the examples run.
func answering(answer string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) }))
}

func Example() {
	server := answering(`{"result":{"offset":4,"epoch":"kQxA"}}`)
	defer server.Close()

	c, err := client.New(server.URL, client.Options{APIKey: "key of http_api.key"})
	if err != nil {
		log.Fatal(err)
	}
	at, err := c.Publish(context.Background(), "news:today", map[string]string{"text": "It rains"},
		client.IdempotencyKey("weather-2026-11-25"), client.Tags(map[string]string{"lang": "en"}))
	fmt.Println(at.Offset, at.Epoch, err)
	// Output: 4 kQxA <nil>
}

func ExampleError() {
	server := answering(`{"error":{"code":108,"message":"not available"}}`)
	defer server.Close()

	c, err := client.New(server.URL, client.Options{APIKey: "key"})
	if err != nil {
		log.Fatal(err)
	}
	_, err = c.Presence(context.Background(), "news:today")
	var refused *client.Error
	if errors.As(err, &refused) && refused.Code == client.CodeNotAvailable {
		fmt.Println("presence is off in this namespace")
	}
	fmt.Println(err)
	// Output:
	// presence is off in this namespace
	// client: presence: error 108: not available
}

func ExampleClient_Broadcast() {
	server := answering(`{"result":{"responses":[{"result":{"offset":1,"epoch":"a"}},{"error":{"code":102,"message":"unknown channel"}}]}}`)
	defer server.Close()

	c, err := client.New(server.URL, client.Options{APIKey: "key"})
	if err != nil {
		log.Fatal(err)
	}
	channels := []string{client.UserChannel(42), "nowhere:42"}
	results, err := c.Broadcast(context.Background(), channels, map[string]string{"text": "Your order is on its way"})
	if err != nil {
		log.Fatal(err)
	}
	for i, r := range results {
		if r.Err != nil {
			fmt.Println(channels[i], r.Err)
		}
	}
	// Output: nowhere:42 error 102: unknown channel
}

func ExampleClient_ConnectionToken() {
	c, err := client.New("http://127.0.0.1:8000", client.Options{TokenSecret: "key of client.token.hmac_secret_key"})
	if err != nil {
		log.Fatal(err)
	}
	token, err := c.ConnectionToken("42", map[string]string{"name": "Ada"}, 30*time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	// This is for the browser of user 42. What is in it:
	claims := jwt.MapClaims{}
	if _, err := jwt.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return []byte("key of client.token.hmac_secret_key"), nil }); err != nil {
		log.Fatal(err)
	}
	fmt.Println(claims["sub"], claims["info"], claims["aud"])
	// Output: 42 map[name:Ada] kuranty
}

func ExampleChatChannel() {
	fmt.Println(client.ChatChannel(7), client.UserChannel(42), client.PresenceChannel(42), client.NotificationsChannel)
	fmt.Println(client.ChequiteChatsChannel(42), client.ChequiteMessagesChannel(7), client.ChequiteStatusChannel(42), client.ChequiteTypingChannel(7))
	// Output:
	// chat:7 user:42 presence:42 system:notifications
	// user-42-chats user-7-messages user-42-status chat.7
}
