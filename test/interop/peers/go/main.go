// Servers and clients of the Go ecosystem, for tests: net/http, grpc-go, gorilla/websocket.
// `peers serve KIND` prints {"listening":PORT}; every other command prints what it saw as one JSON object and ends.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"
)

var commands = map[string]func(args []string) any{
	"serve":        serve,
	"orders":       orders,
	"call":         call,
	"pour":         pour,
	"ticks":        ticks,
	"cancels":      cancels,
	"certify":      certify,
	"destinations": destinations,
	"secure":       secure,
	"unary":        unary,
	"posts":        posts,
	"upload":       upload,
}

func main() {
	var names []string
	for name := range commands {
		names = append(names, name)
	}
	sort.Strings(names)
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: peers", strings.Join(names, "|"), "...")
		os.Exit(2)
	}
	say(commands[os.Args[1]](os.Args[2:]))
}

func say(what any) {
	text, err := json.Marshal(what)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(string(text))
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
