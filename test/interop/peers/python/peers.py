"""Servers and clients of the Python ecosystem, for tests.

`peers.py hypercorn` prints {"listening":PORT} and serves both versions of HTTP; `peers.py upload CLIENT PORT PATH SIZE TIMES` prints
{"statuses": [...]}: what httpx or http.client was answered to a large upload that is refused early; `peers.py spans FILE` prints as JSON
what OpenTelemetry's own messages make of an ExportTraceServiceRequest.
"""
import asyncio
import json
import socket
import sys


async def app(scope, receive, send):
    """/early?STATUS answers at once and reads nothing, /echo sends the body back, everything else is ok and the version."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": event.get("text"), "bytes": event.get("bytes")})
        return
    if scope["type"] != "http":
        return
    status, parts = 200, None
    if scope["path"] == "/early":
        status, parts = int(scope["query_string"]), [b"early\n"]
    elif scope["path"] != "/echo":
        parts = [b"ok HTTP/" + scope["http_version"].encode() + b"\n"]
    await send({"type": "http.response.start", "status": status, "headers": []})
    if parts is not None:
        await send({"type": "http.response.body", "body": b"".join(parts)})
        return
    more = True
    while more:
        event = await receive()
        if event["type"] != "http.request":
            return
        more = event.get("more_body", False)
        await send({"type": "http.response.body", "body": event.get("body", b""), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def hypercorn():
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(512)
    listener.set_inheritable(True)
    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.accesslog = None
    config.errorlog = "-"
    print(json.dumps({"listening": listener.getsockname()[1]}), flush=True)
    asyncio.run(serve(app, config))


def upload(client, port, path, size, times):
    block = bytes(65536)

    def body():
        for _ in range(size // len(block)):
            yield block

    url = f"http://127.0.0.1:{port}{path}"
    statuses = []
    for _ in range(times):
        try:
            if client == "http.client":
                import http.client

                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                # Sends all of it before it looks at the answer, as most simple clients do.
                connection.request("POST", path, body=body(), headers={"Content-Length": str(size)})
                statuses.append(connection.getresponse().status)
            else:
                import httpx

                second = client == "httpx2"
                with httpx.Client(http1=not second, http2=second, timeout=6) as session:
                    statuses.append(session.post(url, content=body()).status_code)
        except Exception as error:  # Whatever went wrong is the result.
            statuses.append(f"{type(error).__name__}: {error}")
    print(json.dumps({"statuses": statuses}))


def spans(file):
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    with open(file, "rb") as octets:
        request = ExportTraceServiceRequest.FromString(octets.read())
    message = MessageToDict(request)
    # What the schema does not know is kept by the parser: written without it, the message is shorter.
    known = ExportTraceServiceRequest()
    known.CopyFrom(request)
    known.DiscardUnknownFields()
    message["unknown"] = request.ByteSize() - known.ByteSize()
    print(json.dumps(message))


if __name__ == "__main__":
    if sys.argv[1] == "hypercorn":
        hypercorn()
    elif sys.argv[1] == "spans":
        spans(sys.argv[2])
    else:
        upload(sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]), int(sys.argv[6]))
