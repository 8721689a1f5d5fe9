// Servers of the Java ecosystem, for tests: grpc-java on Netty, Undertow, Tomcat. `Peers KIND [OPTION]` prints {"listening":PORT}.
import io.grpc.HandlerRegistry;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.ServerCall;
import io.grpc.ServerMethodDefinition;
import io.grpc.Status;
import io.grpc.netty.NettyServerBuilder;
import io.undertow.Undertow;
import io.undertow.UndertowOptions;
import io.undertow.server.HttpServerExchange;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;
import org.apache.coyote.http2.Http2Protocol;

public final class Peers {
  private static final String HOST = "127.0.0.1";

  public static void main(String[] args) throws Exception {
    System.out.println("{\"listening\":" + start(args[0]) + "}");
    System.out.flush();
    Thread.currentThread().join();
  }

  private static int start(String kind) throws Exception {
    switch (kind) {
      case "grpc": {
        var server = NettyServerBuilder.forAddress(new InetSocketAddress(HOST, 0)).fallbackHandlerRegistry(new Anything()).build();
        return server.start().getPort();
      }
      case "undertow": {
        var server = Undertow.builder()
            .addHttpListener(0, HOST, exchange -> exchange.dispatch(Peers::undertow))
            .setServerOption(UndertowOptions.ENABLE_HTTP2, true)
            .build();
        server.start();
        return ((InetSocketAddress) server.getListenerInfo().get(0).getAddress()).getPort();
      }
      case "tomcat": {
        var tomcat = new Tomcat();
        File base = Files.createTempDirectory("sluice-tomcat-").toFile();
        base.deleteOnExit();
        tomcat.setBaseDir(base.getPath());
        var connector = new Connector();
        connector.setPort(0);
        connector.setProperty("address", HOST);
        connector.addUpgradeProtocol(new Http2Protocol());
        tomcat.setConnector(connector);
        var context = tomcat.addContext("", base.getPath());
        Tomcat.addServlet(context, "all", new All());
        context.addServletMappingDecoded("/*", "all");
        tomcat.start();
        return connector.getLocalPort();
      }
      default:
        throw new IllegalArgumentException(kind);
    }
  }

  /** /early?STATUS answers at once and reads nothing, /echo sends the body back, everything else is "ok" with the version. */
  private static void undertow(HttpServerExchange exchange) throws IOException {
    if (exchange.getRequestPath().equals("/early")) {
      exchange.setStatusCode(Integer.parseInt(exchange.getQueryString()));
      exchange.getResponseSender().send("early\n");
      return;
    }
    exchange.startBlocking();
    if (exchange.getRequestPath().equals("/echo")) {
      exchange.getInputStream().transferTo(exchange.getOutputStream());
    } else {
      exchange.getOutputStream().write(("ok " + exchange.getProtocol() + "\n").getBytes());
    }
    exchange.endExchange();
  }

  private static final class All extends HttpServlet {
    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
      OutputStream out = response.getOutputStream();
      if (request.getRequestURI().equals("/early")) {
        response.setStatus(Integer.parseInt(request.getQueryString()));
        out.write("early\n".getBytes());
      } else if (request.getRequestURI().equals("/echo")) {
        request.getInputStream().transferTo(out);
      } else {
        out.write(("ok " + request.getProtocol() + "\n").getBytes());
      }
    }
  }

  /** Every method of every service sends each message back as it comes. */
  private static final class Anything extends HandlerRegistry {
    private static final MethodDescriptor.Marshaller<byte[]> BYTES = new MethodDescriptor.Marshaller<>() {
      @Override
      public InputStream stream(byte[] value) {
        return new ByteArrayInputStream(value);
      }

      @Override
      public byte[] parse(InputStream stream) {
        try {
          return stream.readAllBytes();
        } catch (IOException error) {
          throw new UncheckedIOException(error);
        }
      }
    };

    @Override
    public ServerMethodDefinition<?, ?> lookupMethod(String name, String authority) {
      var method = MethodDescriptor.<byte[], byte[]>newBuilder()
          .setType(MethodDescriptor.MethodType.BIDI_STREAMING)
          .setFullMethodName(name)
          .setRequestMarshaller(BYTES)
          .setResponseMarshaller(BYTES)
          .build();
      return ServerMethodDefinition.create(method, (ServerCall<byte[], byte[]> call, Metadata headers) -> {
        call.sendHeaders(new Metadata());
        call.request(1);
        return new ServerCall.Listener<byte[]>() {
          @Override
          public void onMessage(byte[] message) {
            call.sendMessage(message);
            call.request(1);
          }

          @Override
          public void onHalfClose() {
            call.close(Status.OK, new Metadata());
          }
        };
      });
    }
  }
}
