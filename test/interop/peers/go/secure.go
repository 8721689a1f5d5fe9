package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// trust says what of `flags` is shown to the peer and whom it has to be signed by.
type trust struct{ certificate, key, ca, server *string }

func trustFlags(flags *flag.FlagSet) trust {
	return trust{
		flags.String("certificate", "", ""),
		flags.String("key", "", ""),
		flags.String("ca", "", ""),
		flags.String("server", "", ""),
	}
}

func (t trust) config() *tls.Config {
	text, err := os.ReadFile(*t.ca)
	must(err)
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(text)
	config := &tls.Config{RootCAs: authorities, ClientCAs: authorities, ClientAuth: tls.RequireAndVerifyClientCert, ServerName: *t.server}
	if *t.certificate != "" {
		own, err := tls.LoadX509KeyPair(*t.certificate, *t.key)
		must(err)
		config.Certificates = []tls.Certificate{own}
	}
	return config
}

// inTLS is what TLS says of a peer.
func inTLS(known *peer.Peer) (name, group, version string) {
	if known == nil {
		return
	}
	info, ok := known.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return
	}
	if len(info.State.PeerCertificates) > 0 {
		name = info.State.PeerCertificates[0].Subject.CommonName
	}
	return name, info.State.CurveID.String(), tls.VersionName(info.State.Version)
}

type secured struct {
	Code    string `json:"code"`
	Said    string `json:"said"`
	Server  string `json:"server"`
	Group   string `json:"group"`
	Version string `json:"version"`
	// Whom the server knows.
	Client string `json:"client"`
}

// secure ADDR -ca FILE -server NAME [-certificate FILE -key FILE]: calls of each kind, in TLS.
func secure(args []string) any {
	flags := flag.NewFlagSet("secure", flag.ExitOnError)
	trust := trustFlags(flags)
	must(flags.Parse(args[1:]))
	connection, err := grpc.NewClient("passthrough:///"+args[0],
		grpc.WithTransportCredentials(credentials.NewTLS(trust.config())),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(bytesCodec{}), grpc.MaxCallRecvMsgSize(64<<20), grpc.MaxCallSendMsgSize(64<<20)))
	must(err)
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var known peer.Peer
	var head metadata.MD
	seen := secured{}
	for _, size := range []int{0, 1, 100_000, 3_000_000} {
		message := pattern(size, uint64(size))
		reply, failed := invoke(ctx, connection, message, grpc.Peer(&known), grpc.Header(&head))
		if failed == nil && !bytes.Equal(reply, message) {
			failed = fmt.Errorf("a wrong reply to %d octets", size)
		}
		if err = failed; err != nil {
			break
		}
	}
	if err == nil {
		err = streams(ctx, connection)
	}
	seen.Code, seen.Said = status.Code(err).String(), status.Convert(err).Message()
	seen.Server, seen.Group, seen.Version = inTLS(&known)
	for _, name := range head.Get("x-client-name") {
		seen.Client = name
	}
	return seen
}

// streams in both directions, in one, and in the other.
func streams(ctx context.Context, connection *grpc.ClientConn) error {
	chat, err := connection.NewStream(ctx, &stream, "/interop.Peer/Chat")
	if err != nil {
		return err
	}
	var reply []byte
	for i := range 100 {
		message := pattern(i*100, uint64(i))
		if err := chat.SendMsg(&message); err != nil && err != io.EOF {
			return err
		}
		if err := chat.RecvMsg(&reply); err != nil {
			return err
		}
		if !bytes.Equal(reply, message) {
			return fmt.Errorf("a wrong message %d", i)
		}
	}
	if err := chat.CloseSend(); err != nil {
		return err
	}
	if err := chat.RecvMsg(&reply); err != io.EOF {
		return fmt.Errorf("no end: %w", err)
	}
	const count, size = 60, 50_000
	pour, err := opened(ctx, connection, count, size, 0)
	if err != nil {
		return err
	}
	for range count {
		if err := pour.RecvMsg(&reply); err != nil {
			return err
		}
		if !bytes.Equal(reply, pattern(size, size)) {
			return fmt.Errorf("a wrong message of %d octets", len(reply))
		}
	}
	sink, err := connection.NewStream(ctx, &stream, "/interop.Peer/Sink")
	if err != nil {
		return err
	}
	message := pattern(size, 1)
	for range count {
		if err := sink.SendMsg(&message); err != nil && err != io.EOF {
			return err
		}
	}
	if err := sink.CloseSend(); err != nil {
		return err
	}
	if err := sink.RecvMsg(&reply); err != nil {
		return err
	}
	if string(reply) != strconv.Itoa(count*size) {
		return fmt.Errorf("%s octets have come of %d", reply, count*size)
	}
	return nil
}
