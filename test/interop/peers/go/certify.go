package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"net/url"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

type certified struct {
	Status string   `json:"status"`
	Said   string   `json:"said"`
	Names  []string `json:"names"`
	URIs   []string `json:"uris"`
	// What Go's verifier says of the chain, as a server's and as a client's; empty if it is right.
	Verdict string `json:"verdict"`
	// Of the leaf, and as the answer has it.
	Until    int64 `json:"until"`
	SaidEnds int64 `json:"saidEnds"`
}

// fields of a message by number; of those with a length only.
func fields(message []byte) map[protowire.Number][][]byte {
	found := map[protowire.Number][][]byte{}
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeField(message)
		_ = kind
		if size < 0 {
			must(protowire.ParseError(size))
		}
		_, wire, head := protowire.ConsumeTag(message)
		if wire == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(message[head:])
			found[number] = append(found[number], value)
		} else if wire == protowire.VarintType {
			found[number] = append(found[number], message[head:size])
		}
		message = message[size:]
	}
	return found
}

func signingRequest(name, uri string) []byte {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := x509.CertificateRequest{DNSNames: []string{name}}
	if uri != "" {
		parsed, err := url.Parse(uri)
		must(err)
		template.URIs = []*url.URL{parsed}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	must(err)
	return der
}

// certify ADDR -anchors FILE -server NAME -identity NAME -token TOKEN -uri URI: asks an identity service for a certificate, by TLS with the
// anchors alone, and verifies what it gets.
func certify(args []string) any {
	flags := flag.NewFlagSet("certify", flag.ExitOnError)
	file := flags.String("anchors", "", "")
	server := flags.String("server", "", "")
	identity := flags.String("identity", "", "")
	token := flags.String("token", "", "")
	uri := flags.String("uri", "", "")
	must(flags.Parse(args[1:]))
	text, err := os.ReadFile(*file)
	must(err)
	anchors := x509.NewCertPool()
	anchors.AppendCertsFromPEM(text)
	connection, err := grpc.NewClient("passthrough:///"+args[0],
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: anchors, ServerName: *server})),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(bytesCodec{})))
	must(err)
	defer connection.Close()
	var message, reply []byte
	for number, value := range [][]byte{[]byte(*identity), []byte(*token), signingRequest(*identity, *uri)} {
		message = protowire.AppendTag(message, protowire.Number(number+1), protowire.BytesType)
		message = protowire.AppendBytes(message, value)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = connection.Invoke(ctx, "/io.linkerd.proxy.identity.Identity/Certify", &message, &reply)
	seen := certified{Status: status.Code(err).String(), Said: status.Convert(err).Message()}
	if err != nil {
		return seen
	}
	seen.verify(fields(reply), anchors, *identity)
	return seen
}

func (seen *certified) verify(answer map[protowire.Number][][]byte, anchors *x509.CertPool, identity string) {
	leaf, err := x509.ParseCertificate(answer[1][0])
	must(err)
	middle := x509.NewCertPool()
	for _, der := range answer[2] {
		certificate, err := x509.ParseCertificate(der)
		must(err)
		middle.AddCert(certificate)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		options := x509.VerifyOptions{Roots: anchors, Intermediates: middle, DNSName: identity, KeyUsages: []x509.ExtKeyUsage{usage}}
		if _, err := leaf.Verify(options); err != nil {
			seen.Verdict = err.Error()
		}
	}
	seen.Names = leaf.DNSNames
	for _, uri := range leaf.URIs {
		seen.URIs = append(seen.URIs, uri.String())
	}
	seen.Until = leaf.NotAfter.Unix()
	ends, _ := protowire.ConsumeVarint(fields(answer[3][0])[1][0])
	seen.SaidEnds = int64(ends)
}
