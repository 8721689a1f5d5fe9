package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"time"

	"github.com/bufbuild/protocompile"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

type heard struct {
	Status string            `json:"status"`
	Said   string            `json:"said"`
	Told   []json.RawMessage `json:"told"`
}

// destinations ADDR -proto FILE -anchors FILE -certificate FILE -key FILE -server NAME -method Get|GetProfile -path PATH -context JSON
// -messages N: asks a destination service by its description, in mutual TLS, until it has said that much.
func destinations(args []string) any {
	flags := flag.NewFlagSet("destinations", flag.ExitOnError)
	anchorsFile := flags.String("anchors", "", "")
	certificate := flags.String("certificate", "", "")
	key := flags.String("key", "", "")
	server := flags.String("server", "", "")
	description := flags.String("proto", "", "")
	method := flags.String("method", "Get", "")
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
	compiler := protocompile.Compiler{Resolver: &protocompile.SourceResolver{ImportPaths: []string{filepath.Dir(*description)}}}
	files, err := compiler.Compile(ctx, filepath.Base(*description))
	must(err)
	service := files[0].Services().Get(0)
	call := service.Methods().ByName(protoreflect.Name(*method))
	stream, err := connection.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/"+string(service.FullName())+"/"+*method)
	must(err)
	asked := dynamicpb.NewMessage(call.Input())
	for name, value := range map[protoreflect.Name]string{"scheme": "k8s", "path": *path, "context_token": *token} {
		asked.Set(call.Input().Fields().ByName(name), protoreflect.ValueOfString(value))
	}
	must(stream.SendMsg(asked))
	must(stream.CloseSend())
	seen := heard{Status: "OK"}
	for len(seen.Told) < *messages {
		message := dynamicpb.NewMessage(call.Output())
		if err := stream.RecvMsg(message); err != nil {
			seen.Status, seen.Said = status.Code(err).String(), status.Convert(err).Message()
			break
		}
		told, err := protojson.MarshalOptions{EmitUnpopulated: false}.Marshal(message)
		must(err)
		seen.Told = append(seen.Told, told)
	}
	return seen
}
