package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

var stream = grpc.StreamDesc{ClientStreams: true, ServerStreams: true}

func channel(addr string) *grpc.ClientConn {
	connection, err := grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithMaxHeaderListSize(1<<20),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(bytesCodec{}), grpc.MaxCallRecvMsgSize(64<<20), grpc.MaxCallSendMsgSize(64<<20)))
	must(err)
	return connection
}

func invoke(ctx context.Context, connection *grpc.ClientConn, message []byte, options ...grpc.CallOption) ([]byte, error) {
	var reply []byte
	err := connection.Invoke(ctx, "/interop.Peer/Echo", &message, &reply, options...)
	return reply, err
}

// opened is a stream of Pour that is to send `count` messages.
func opened(ctx context.Context, connection *grpc.ClientConn, count, size, pause int) (grpc.ClientStream, error) {
	call, err := connection.NewStream(ctx, &stream, "/interop.Peer/Pour")
	if err != nil {
		return nil, err
	}
	message := []byte(fmt.Sprint(count, " ", size, " ", pause))
	if err := call.SendMsg(&message); err != nil {
		return nil, err
	}
	return call, call.CloseSend()
}

// orders ADDR LETTERS: h is a GET by HTTP/1, g a gRPC call, w a WebSocket, p a POST of 50 KB by HTTP/1, k a GET by HTTP/2.
// One word about each: "ok", or what went wrong.
func orders(args []string) any {
	addr := args[0]
	kinds := map[rune]func() error{
		'h': func() error { return get(&http.Transport{}, "http://"+addr+"/healthz", nil) },
		'k': func() error { return get(plainHTTP2(), "http://"+addr+"/healthz", nil) },
		'p': func() error { return get(&http.Transport{}, "http://"+addr+"/echo", pattern(50_000, 1)) },
		'g': func() error {
			connection := channel(addr)
			defer connection.Close()
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			reply, err := invoke(ctx, connection, []byte("hello"))
			if err == nil && string(reply) != "hello" {
				return fmt.Errorf("wrong reply %q", reply)
			}
			return err
		},
		'w': func() error {
			socket, response, err := websocket.DefaultDialer.Dial("ws://"+addr+"/ws", nil)
			if err != nil {
				if response != nil {
					return fmt.Errorf("%w: %s", err, response.Status)
				}
				return err
			}
			defer socket.Close()
			must(socket.WriteMessage(websocket.TextMessage, []byte("x")))
			_, message, err := socket.ReadMessage()
			if err == nil && string(message) != "x" {
				return fmt.Errorf("wrong message %q", message)
			}
			return err
		},
	}
	said := []string{}
	for _, letter := range args[1] {
		if err := kinds[letter](); err != nil {
			said = append(said, string(letter)+": "+err.Error())
		} else {
			said = append(said, "ok")
		}
	}
	return said
}

func plainHTTP2() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{Protocols: protocols}
}

// get asks once, on a connection of its own; a body that is sent has to come back.
func get(transport *http.Transport, url string, body []byte) error {
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: 10 * time.Second}
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	must(err)
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return err
	case response.StatusCode != 200:
		return fmt.Errorf("%s %s", response.Status, response.Header.Get("sluice-error"))
	case body != nil && !bytes.Equal(answer, body):
		return fmt.Errorf("wrong bytes: %d instead of %d", len(answer), len(body))
	}
	return nil
}

func size(fields metadata.MD) int {
	total := 0
	for name, values := range fields {
		if len(name) > 8 && name[:8] == "x-large-" {
			for _, value := range values {
				total += len(value)
			}
		}
	}
	return total
}

// call ADDR [-send N] [-metadata N] [-trailers N] [-status CODE] [-message N] [-strangers N] [-times N]: calls with so much metadata
// in each direction, beside strangers on the same connection.
func call(args []string) any {
	flags := flag.NewFlagSet("call", flag.ExitOnError)
	send := flags.Int("send", 0, "")
	answered := flags.Int("metadata", 0, "")
	trailers := flags.Int("trailers", 0, "")
	code := flags.Int("status", 0, "")
	message := flags.Int("message", 0, "")
	strangers := flags.Int("strangers", 0, "")
	times := flags.Int("times", 1, "")
	must(flags.Parse(args[1:]))
	connection := channel(args[0])
	defer connection.Close()
	ctx, stop := context.WithCancel(context.Background())
	beside := newTally()
	var group, ready sync.WaitGroup
	for i := 0; i < *strangers; i++ {
		group.Add(1)
		ready.Add(1)
		go func() {
			defer group.Done()
			chat(ctx, connection, pattern(100, uint64(i)), 20, beside, &ready)
		}()
	}
	ready.Wait()
	type outcome struct {
		Code     string `json:"code"`
		Message  string `json:"message"`
		Metadata int    `json:"metadata"`
		Trailers int    `json:"trailers"`
	}
	var outcomes []outcome
	for i := 0; i < *times; i++ {
		fields := metadata.New(values(*send))
		for key, n := range map[string]int{"x-answer-metadata": *answered, "x-answer-trailers": *trailers, "x-answer-status": *code, "x-answer-message": *message} {
			fields.Set(key, fmt.Sprint(n))
		}
		var head, last metadata.MD
		limited, cancel := context.WithTimeout(metadata.NewOutgoingContext(ctx, fields), 20*time.Second)
		_, err := invoke(limited, connection, []byte("hello"), grpc.Header(&head), grpc.Trailer(&last))
		cancel()
		said := status.Convert(err)
		text := said.Message()
		if len(text) > 300 {
			text = fmt.Sprintf("%d octets", len(text))
		}
		outcomes = append(outcomes, outcome{said.Code().String(), text, size(head), size(last)})
	}
	time.Sleep(300 * time.Millisecond)
	stop()
	group.Wait()
	return map[string]any{"calls": outcomes, "strangers": beside}
}

// lasting ends after so long: by a deadline, of which the server is told (grpc-timeout), or by a cancel.
func lasting(seconds float64, deadline bool) (context.Context, context.CancelFunc) {
	duration := time.Duration(seconds * float64(time.Second))
	if deadline {
		return context.WithTimeout(context.Background(), duration)
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(duration, cancel)
	return ctx, cancel
}

// chat says `message` again and again on one stream, and hears it each time, until `ctx` ends; its end before that is counted
// with its status. `ready` hears of the first time.
func chat(ctx context.Context, connection *grpc.ClientConn, message []byte, every int, seen *tally, ready *sync.WaitGroup) {
	call, err := connection.NewStream(ctx, &stream, "/interop.Peer/Chat")
	for err == nil {
		var reply []byte
		if err = call.SendMsg(&message); err == nil || err == io.EOF {
			err = call.RecvMsg(&reply)
		}
		if err == nil && !bytes.Equal(reply, message) {
			seen.count("wrong", "")
		}
		if ready != nil {
			ready.Done()
			ready = nil
		}
		seen.add(len(reply))
		time.Sleep(time.Duration(every) * time.Millisecond)
	}
	if ready != nil {
		ready.Done()
	}
	ended(ctx, err, seen)
}

func ended(ctx context.Context, err error, seen *tally) {
	if ctx.Err() != nil {
		seen.count("lived", "")
	} else {
		seen.count(status.Code(err).String(), status.Convert(err).Message())
	}
}

// listen reads a stream that never ends until `ctx` does.
func listen(ctx context.Context, connection *grpc.ClientConn, size, pause int, seen *tally) {
	call, err := opened(ctx, connection, 1<<30, size, pause)
	for err == nil {
		var message []byte
		if err = call.RecvMsg(&message); err == nil {
			seen.add(len(message))
		}
	}
	ended(ctx, err, seen)
}

// pour ADDR [-streams N] [-size N] [-up] [-seconds S] [-deadline]: streams with large messages, which make grpc-go measure the bandwidth.
func pour(args []string) any {
	flags := flag.NewFlagSet("pour", flag.ExitOnError)
	streams := flags.Int("streams", 8, "")
	size := flags.Int("size", 16<<10, "")
	pause := flags.Int("pause", 0, "")
	up := flags.Bool("up", false, "")
	seconds := flags.Float64("seconds", 5, "")
	deadline := flags.Bool("deadline", false, "")
	must(flags.Parse(args[1:]))
	ctx, cancel := lasting(*seconds, *deadline)
	defer cancel()
	connection := channel(args[0])
	defer connection.Close()
	seen := newTally()
	var group sync.WaitGroup
	for i := 0; i < *streams; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			if !*up {
				listen(ctx, connection, *size, *pause, seen)
				return
			}
			call, err := connection.NewStream(ctx, &stream, "/interop.Peer/Sink")
			body := pattern(*size, 1)
			for err == nil {
				if err = call.SendMsg(&body); err == nil {
					seen.add(len(body))
				}
				time.Sleep(time.Duration(*pause) * time.Millisecond)
			}
			if err == io.EOF {
				var reply []byte
				err = call.RecvMsg(&reply)
			}
			ended(ctx, err, seen)
		}()
	}
	group.Wait()
	return seen
}

// ticks ADDR [-streams N] [-every MS] [-size N] [-seconds S] [-deadline]: streams that say a few octets in both directions, often.
func ticks(args []string) any {
	flags := flag.NewFlagSet("ticks", flag.ExitOnError)
	streams := flags.Int("streams", 60, "")
	every := flags.Int("every", 33, "")
	size := flags.Int("size", 7, "")
	seconds := flags.Float64("seconds", 5, "")
	deadline := flags.Bool("deadline", false, "")
	must(flags.Parse(args[1:]))
	ctx, cancel := lasting(*seconds, *deadline)
	defer cancel()
	connection := channel(args[0])
	defer connection.Close()
	seen := newTally()
	var group sync.WaitGroup
	for i := 0; i < *streams; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			chat(ctx, connection, pattern(*size, uint64(i)), *every, seen, nil)
		}()
	}
	group.Wait()
	return seen
}

// cancels ADDR [-rate N] [-strangers N] [-seconds S] [-deadline]: so many streams a second are cancelled after their first message, beside
// streams and calls on the same connection.
func cancels(args []string) any {
	flags := flag.NewFlagSet("cancels", flag.ExitOnError)
	rate := flags.Int("rate", 70, "")
	strangers := flags.Int("strangers", 10, "")
	seconds := flags.Float64("seconds", 5, "")
	deadline := flags.Bool("deadline", false, "")
	must(flags.Parse(args[1:]))
	ctx, cancel := lasting(*seconds, *deadline)
	defer cancel()
	connection := channel(args[0])
	defer connection.Close()
	beside, cancelled, called := newTally(), newTally(), newTally()
	var group sync.WaitGroup
	for i := 0; i < *strangers; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			chat(ctx, connection, pattern(100, uint64(i)), 50, beside, nil)
		}()
	}
	group.Add(1)
	go func() {
		defer group.Done()
		for ctx.Err() == nil {
			_, err := invoke(context.Background(), connection, []byte("x"))
			called.count(status.Code(err).String(), status.Convert(err).Message())
			time.Sleep(10 * time.Millisecond)
		}
	}()
	ticker := time.NewTicker(time.Second / time.Duration(*rate))
	defer ticker.Stop()
	for ctx.Err() == nil {
		<-ticker.C
		group.Add(1)
		go func() {
			defer group.Done()
			own, leave := context.WithCancel(ctx)
			defer leave()
			call, err := opened(own, connection, 1000, 100, 20)
			var message []byte
			if err == nil {
				err = call.RecvMsg(&message)
			}
			if ctx.Err() == nil {
				cancelled.count(status.Code(err).String(), status.Convert(err).Message())
			}
		}()
	}
	group.Wait()
	return map[string]any{"strangers": beside, "cancelled": cancelled, "calls": called}
}

// unary ADDR [-workers N] [-least N] [-most N] [-seconds S] [-channels N]: calls with messages of such sizes, that have to come back.
func unary(args []string) any {
	flags := flag.NewFlagSet("unary", flag.ExitOnError)
	workers := flags.Int("workers", 8, "")
	channels := flags.Int("channels", 2, "")
	least := flags.Int("least", 20_000, "")
	most := flags.Int("most", 400_000, "")
	seconds := flags.Float64("seconds", 5, "")
	must(flags.Parse(args[1:]))
	until := time.Now().Add(time.Duration(*seconds * float64(time.Second)))
	seen := newTally()
	var group sync.WaitGroup
	for c := 0; c < *channels; c++ {
		connection := channel(args[0])
		defer connection.Close()
		for i := 0; i < *workers; i++ {
			group.Add(1)
			go func() {
				defer group.Done()
				for time.Now().Before(until) {
					message := pattern(*least+mathrand.IntN(*most-*least+1), mathrand.Uint64())
					ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
					reply, err := invoke(ctx, connection, message)
					cancel()
					if err == nil && !bytes.Equal(reply, message) {
						seen.count("wrong", "")
						continue
					}
					seen.count(status.Code(err).String(), status.Convert(err).Message())
				}
			}()
		}
	}
	group.Wait()
	return seen
}

// posts ADDR [-http2] [-workers N] [-least N] [-most N] [-seconds S]: POSTs whose body has to come back, one behind the other on
// kept connections.
func posts(args []string) any {
	flags := flag.NewFlagSet("posts", flag.ExitOnError)
	second := flags.Bool("http2", false, "")
	workers := flags.Int("workers", 8, "")
	least := flags.Int("least", 20_000, "")
	most := flags.Int("most", 400_000, "")
	seconds := flags.Float64("seconds", 5, "")
	must(flags.Parse(args[1:]))
	transport := &http.Transport{MaxIdleConnsPerHost: *workers}
	if *second {
		transport = plainHTTP2()
	}
	client := http.Client{Transport: transport, Timeout: 20 * time.Second}
	until := time.Now().Add(time.Duration(*seconds * float64(time.Second)))
	seen := newTally()
	var group sync.WaitGroup
	for i := 0; i < *workers; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for time.Now().Before(until) {
				body := pattern(*least+mathrand.IntN(*most-*least+1), mathrand.Uint64())
				response, err := client.Post("http://"+args[0]+"/echo", "application/octet-stream", bytes.NewReader(body))
				if err != nil {
					seen.count("error", err.Error())
					continue
				}
				answer, err := io.ReadAll(response.Body)
				response.Body.Close()
				switch {
				case err != nil:
					seen.count("cut", err.Error())
				case response.StatusCode == 200 && !bytes.Equal(answer, body):
					seen.count("wrong", "")
				default:
					seen.count(fmt.Sprint(response.StatusCode), response.Header.Get("sluice-error"))
				}
			}
		}()
	}
	group.Wait()
	return seen
}

// upload ADDR [-http2] [-size N] [-path P] [-times N]: a large body whose length is not known; the answer, and how much had been
// read of it by then.
func upload(args []string) any {
	flags := flag.NewFlagSet("upload", flag.ExitOnError)
	second := flags.Bool("http2", false, "")
	size := flags.Int64("size", 20<<20, "")
	path := flags.String("path", "/early?status=413", "")
	times := flags.Int("times", 1, "")
	must(flags.Parse(args[1:]))
	seen := newTally()
	for i := 0; i < *times; i++ {
		transport := &http.Transport{}
		if *second {
			transport = plainHTTP2()
		}
		client := http.Client{Transport: transport, Timeout: 20 * time.Second}
		var read atomic.Int64
		body := io.TeeReader(io.LimitReader(rand.Reader, *size), counter{&read})
		response, err := client.Post("http://"+args[0]+*path, "application/octet-stream", body)
		if err != nil {
			seen.count("error", err.Error())
		} else {
			text, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err != nil {
				seen.count("cut", err.Error())
			} else {
				seen.count(fmt.Sprint(response.StatusCode), string(text))
			}
		}
		seen.add(int(read.Load()))
		transport.CloseIdleConnections()
	}
	return seen
}

type counter struct{ total *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.total.Add(int64(len(p)))
	return len(p), nil
}
