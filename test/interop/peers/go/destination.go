package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"os"
	"time"

	destination "github.com/linkerd/linkerd2-proxy-api/go/destination"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

type heard struct {
	Status string            `json:"status"`
	Said   string            `json:"said"`
	Told   []json.RawMessage `json:"told"`
}

// destinations ADDR -anchors FILE -certificate FILE -key FILE -server NAME -method get|profile -path PATH -context JSON -messages N: asks a
// destination service by Linkerd's own bindings, in mutual TLS, until it has said that much.
func destinations(args []string) any {
	flags := flag.NewFlagSet("destinations", flag.ExitOnError)
	anchorsFile := flags.String("anchors", "", "")
	certificate := flags.String("certificate", "", "")
	key := flags.String("key", "", "")
	server := flags.String("server", "", "")
	method := flags.String("method", "get", "")
	path := flags.String("path", "", "")
	token := flags.String("context", "", "")
	messages := flags.Int("messages", 1, "")
	must(flags.Parse(args[1:]))
	text, err := os.ReadFile(*anchorsFile)
	must(err)
	anchors := x509.NewCertPool()
	anchors.AppendCertsFromPEM(text)
	own, err := tls.LoadX509KeyPair(*certificate, *key)
	must(err)
	config := &tls.Config{RootCAs: anchors, ServerName: *server, Certificates: []tls.Certificate{own}}
	connection, err := grpc.NewClient("passthrough:///"+args[0], grpc.WithTransportCredentials(credentials.NewTLS(config)))
	must(err)
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	client := destination.NewDestinationClient(connection)
	asked := &destination.GetDestination{Scheme: "k8s", Path: *path, ContextToken: *token}
	var next func() (proto.Message, error)
	if *method == "profile" {
		stream, err := client.GetProfile(ctx, asked)
		must(err)
		next = func() (proto.Message, error) { return stream.Recv() }
	} else {
		stream, err := client.Get(ctx, asked)
		must(err)
		next = func() (proto.Message, error) { return stream.Recv() }
	}
	seen := heard{Status: "OK"}
	for len(seen.Told) < *messages {
		message, err := next()
		if err != nil {
			seen.Status, seen.Said = status.Code(err).String(), status.Convert(err).Message()
			break
		}
		told, err := protojson.MarshalOptions{EmitUnpopulated: false}.Marshal(message)
		must(err)
		seen.Told = append(seen.Told, told)
	}
	return seen
}
