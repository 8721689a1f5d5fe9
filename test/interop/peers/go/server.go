package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// Requests whose client went away before they were answered, and when the last did, in ms since 1970.
var left, leftAt atomic.Int64

// serve KIND [-addr A] [-age D] [-grace D] [-head N] [-ca FILE -certificate FILE -key FILE]: with a CA in mutual TLS. KIND is `grpc` (grpc-go's own transport) or `dual` (net/http of both
// versions, gRPC through ServeHTTP, WebSocket at /ws).
func serve(args []string) any {
	kind := args[0]
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:0", "")
	age := flags.Duration("age", 0, "")
	grace := flags.Duration("grace", 0, "")
	head := flags.Uint("head", 0, "")
	trust := trustFlags(flags)
	must(flags.Parse(args[1:]))
	listener, err := net.Listen("tcp", *addr)
	must(err)
	options := []grpc.ServerOption{
		grpc.ForceServerCodec(bytesCodec{}),
		grpc.UnknownServiceHandler(answer),
		grpc.MaxRecvMsgSize(64 << 20),
		grpc.MaxSendMsgSize(64 << 20),
	}
	if *age > 0 {
		options = append(options, grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: *age, MaxConnectionAgeGrace: *grace}))
	}
	if *head > 0 {
		options = append(options, grpc.MaxHeaderListSize(uint32(*head)))
	}
	if *trust.ca != "" {
		options = append(options, grpc.Creds(credentials.NewTLS(trust.config())))
	}
	server := grpc.NewServer(options...)
	say(map[string]int{"listening": listener.Addr().(*net.TCPAddr).Port})
	if kind == "grpc" {
		must(server.Serve(listener))
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	must((&http.Server{Protocols: protocols, MaxHeaderBytes: 1 << 20, Handler: handler(server)}).Serve(listener))
	os.Exit(0)
	return nil
}

// answer is every method of gRPC there is. What the metadata asks for comes first.
func answer(_ any, stream grpc.ServerStream) error {
	asked, _ := metadata.FromIncomingContext(stream.Context())
	number := func(key string) int {
		for _, value := range asked.Get(key) {
			n, _ := strconv.Atoi(value)
			return n
		}
		return 0
	}
	go func() {
		<-stream.Context().Done()
		if context.Cause(stream.Context()) != nil && number("x-waits") > 0 {
			left.Add(1)
			leftAt.Store(time.Now().UnixMilli())
		}
	}()
	if known, ok := peer.FromContext(stream.Context()); ok {
		if name, _, _ := inTLS(known); name != "" {
			must(stream.SetHeader(metadata.Pairs("x-client-name", name)))
		}
	}
	if n := number("x-answer-metadata"); n > 0 {
		must(stream.SetHeader(metadata.New(values(n))))
	}
	if n := number("x-answer-trailers"); n > 0 {
		stream.SetTrailer(metadata.New(values(n)))
	}
	time.Sleep(time.Duration(number("x-waits")) * time.Millisecond)
	method, _ := grpc.MethodFromServerStream(stream)
	err := methods[method[strings.LastIndex(method, "/")+1:]](stream)
	if code := number("x-answer-status"); err == nil && code > 0 {
		return status.Error(codes.Code(code), strings.Repeat("s", max(1, number("x-answer-message"))))
	}
	return err
}

var methods = map[string]func(grpc.ServerStream) error{
	"Echo": func(stream grpc.ServerStream) error {
		var message []byte
		if err := stream.RecvMsg(&message); err != nil {
			return err
		}
		return stream.SendMsg(&message)
	},
	// Every message as it comes.
	"Chat": func(stream grpc.ServerStream) error {
		for {
			var message []byte
			if err := stream.RecvMsg(&message); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			if err := stream.SendMsg(&message); err != nil {
				return err
			}
		}
	},
	// How much came.
	"Sink": func(stream grpc.ServerStream) error {
		total := 0
		for {
			var message []byte
			if err := stream.RecvMsg(&message); err == io.EOF {
				text := []byte(strconv.Itoa(total))
				return stream.SendMsg(&text)
			} else if err != nil {
				return err
			}
			total += len(message)
		}
	},
	// "COUNT SIZE MS": so many messages of that size, with a pause between them.
	"Pour": func(stream grpc.ServerStream) error {
		var message []byte
		if err := stream.RecvMsg(&message); err != nil {
			return err
		}
		var count, size, pause int
		if _, err := fmt.Sscan(string(message), &count, &size, &pause); err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		body := pattern(size, uint64(size))
		for i := 0; i < count; i++ {
			if err := stream.SendMsg(&body); err != nil {
				return err
			}
			if pause > 0 {
				time.Sleep(time.Duration(pause) * time.Millisecond)
			}
		}
		return nil
	},
}

func handler(server *grpc.Server) http.Handler {
	upgrader := websocket.Upgrader{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		number := func(key string) int {
			n, _ := strconv.Atoi(r.URL.Query().Get(key))
			return n
		}
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			server.ServeHTTP(w, r)
			return
		}
		switch r.URL.Path {
		case "/ws":
			socket, err := upgrader.Upgrade(w, r, nil)
			if err != nil {
				return
			}
			defer socket.Close()
			for {
				kind, message, err := socket.ReadMessage()
				if err != nil || socket.WriteMessage(kind, message) != nil {
					return
				}
			}
		case "/echo":
			_ = http.NewResponseController(w).EnableFullDuplex()
			_, _ = io.Copy(w, r.Body)
		case "/bytes":
			w.Header().Set("Content-Length", r.URL.Query().Get("n"))
			_, _ = w.Write(pattern(number("n"), uint64(number("n"))))
		case "/early":
			// Answered without a look at the body.
			w.WriteHeader(number("status"))
			fmt.Fprintln(w, "early")
		case "/head":
			for name, value := range values(number("n")) {
				w.Header().Set(name, value)
			}
			fmt.Fprintln(w, "head")
		case "/events":
			w.Header().Set("Content-Type", "text/event-stream")
			for i := 0; i < max(1, number("n")); i++ {
				fmt.Fprintf(w, "data: %d\n\n", i)
				w.(http.Flusher).Flush()
			}
			wait(r)
		case "/wait":
			wait(r)
		case "/left":
			_ = json.NewEncoder(w).Encode(map[string]int64{"left": left.Load(), "at": leftAt.Load()})
		default:
			fmt.Fprintln(w, "ok", r.Proto)
		}
	})
}

// wait answers nothing until the client goes.
func wait(r *http.Request) {
	<-r.Context().Done()
	left.Add(1)
	leftAt.Store(time.Now().UnixMilli())
}
