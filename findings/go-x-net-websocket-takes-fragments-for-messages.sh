#!/bin/bash
# golang.org/x/net/websocket gives each fragment of a message as a message of its own; gorilla/websocket puts them together.
#
# Guess: a server's library for WebSockets gives a message whole, however many frames it came in (RFC 6455, 5.4). A client
#   may send one in fragments as it likes, so that it need not copy the parts together.
# Versions: Go 1.25 and later; golang.org/x/net 0.49.0, the one of Kubernetes 1.35, and gorilla/websocket 1.5.3 (2026).
# Behaviour: Message.Receive returns after one frame, whether FIN is set or not. The next call returns the continuation.
#   A protocol that begins each message with a byte of its own, as an exec of Kubernetes does with its channel, then takes
#   the first byte of each continuation for that.
# Output seen:
#   gorilla/websocket: "one two"
#   x/net/websocket: "one ", "two"
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
cat > main.go <<'CODE'
package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/gorilla/websocket"
	xnet "golang.org/x/net/websocket"
)

// The text "one two" in two frames: FIN clear and then set, masked with zeros, and a close.
const frames = "\x01\x84\x00\x00\x00\x00one " + "\x80\x83\x00\x00\x00\x00two" + "\x88\x80\x00\x00\x00\x00"

func try(handler func(received chan<- string) http.Handler) string {
	received := make(chan string)
	server := httptest.NewServer(handler(received))
	defer server.Close()
	address := server.Listener.Addr().String()
	connection, err := net.Dial("tcp", address)
	if err != nil {
		panic(err)
	}
	defer connection.Close()
	fmt.Fprintf(connection, "GET / HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", address, address)
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		panic(fmt.Sprint(answer, err))
	}
	fmt.Fprint(connection, frames)
	var messages []string
	for message := range received {
		messages = append(messages, fmt.Sprintf("%q", message))
	}
	return strings.Join(messages, ", ")
}

func main() {
	whole := try(func(received chan<- string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(received)
			connection, err := new(websocket.Upgrader).Upgrade(w, r, nil)
			for err == nil {
				var message []byte
				if _, message, err = connection.ReadMessage(); err == nil {
					received <- string(message)
				}
			}
		})
	})
	parts := try(func(received chan<- string) http.Handler {
		return xnet.Handler(func(connection *xnet.Conn) {
			defer close(received)
			var message string
			for xnet.Message.Receive(connection, &message) == nil {
				received <- message
			}
		})
	})
	fmt.Printf("gorilla/websocket: %s\nx/net/websocket: %s\n", whole, parts)
	if whole != `"one two"` || parts != `"one ", "two"` {
		os.Exit(1)
	}
}
CODE
export GOFLAGS=-mod=mod GOMODCACHE="$folder/modules"
go mod init try 2>/dev/null
go get golang.org/x/net@v0.49.0 github.com/gorilla/websocket@v1.5.3 2>/dev/null
go run .
