"""Python's h2 as a peer in tests.

  python-h2.py server            echoes; says "listening PORT" on standard output
  python-h2.py client PORT JSON  sends the requests of JSON ([{method, path, size, trailers}]) on one connection, all at once;
                               answers one line of JSON: [{status, length, sha1, sent, headers, trailers, informational}], in their order

Bodies are `content(size)` of this file: counted bytes, the same on both sides. Every window is honoured, and opened by what
has been consumed.
"""

import hashlib
import json
import socket
import sys
import threading

import h2.config
import h2.connection
import h2.events

STEP = 65_521  # a prime near 64 KiB: what is sent at once does not fall together with frames or windows


def content(size):
    unit = bytes((i * 131 + (i >> 8)) & 255 for i in range(4099))
    return (unit * (size // len(unit) + 1))[:size]


class Peer:
    def __init__(self, sock, client):
        self.sock = sock
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=client, header_encoding="utf-8"))
        self.sending = {}  # stream -> [bytes, trailers or None]

    def begin(self):
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.sock.sendall(data)

    def send(self, stream, body, trailers):
        self.sending[stream] = [memoryview(body), trailers]
        self.pump()

    def pump(self):
        for stream in list(self.sending):
            body, trailers = self.sending[stream]
            while len(body):
                room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, STEP, len(body))
                if room == 0:
                    break
                self.h2.send_data(stream, bytes(body[:room]))
                body = body[room:]
            self.sending[stream][0] = body
            if not len(body):
                del self.sending[stream]
                if trailers:
                    self.h2.send_headers(stream, trailers, end_stream=True)
                else:
                    self.h2.end_stream(stream)

    def events(self):
        while True:
            self.flush()
            data = self.sock.recv(65536)
            if not data:
                return
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.WindowUpdated):
                    self.pump()
                elif isinstance(event, h2.events.RemoteSettingsChanged):
                    self.pump()
                elif isinstance(event, h2.events.StreamReset):
                    self.sending.pop(event.stream_id, None)
                    yield event
                else:
                    if isinstance(event, h2.events.DataReceived):
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    yield event


def serve(sock):
    peer = Peer(sock, client=False)
    requests = {}
    try:
        peer.begin()
        for event in peer.events():
            if isinstance(event, h2.events.RequestReceived):
                requests[event.stream_id] = [dict(event.headers), bytearray(), []]
            elif isinstance(event, h2.events.DataReceived):
                requests[event.stream_id][1] += event.data
            elif isinstance(event, h2.events.TrailersReceived):
                requests[event.stream_id][2] = event.headers
            elif isinstance(event, h2.events.StreamReset):
                requests.pop(event.stream_id, None)
            elif isinstance(event, h2.events.StreamEnded):
                headers, body, trailers = requests.pop(event.stream_id)
                path = headers[":path"]
                if path.startswith("/bytes/"):
                    body = content(int(path[7:]))
                if path.startswith("/hints"):
                    peer.h2.send_headers(event.stream_id, [(":status", "103"), ("link", "</style.css>; rel=preload")])
                fields = [(":status", "200"), ("server", "python-h2"), ("x-sha1", hashlib.sha1(body).hexdigest())]
                peer.h2.send_headers(event.stream_id, fields, end_stream=headers[":method"] == "HEAD")
                if headers[":method"] != "HEAD":
                    peer.send(event.stream_id, bytes(body), trailers)
            elif isinstance(event, h2.events.ConnectionTerminated):
                return
    except (ConnectionError, BrokenPipeError):
        pass
    finally:
        try:
            peer.flush()
        except OSError:
            pass
        sock.close()


def server():
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print("listening", listener.getsockname()[1], flush=True)
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(sock,), daemon=True).start()


def client(port, requests):
    peer = Peer(socket.create_connection(("127.0.0.1", port)), client=True)
    peer.begin()
    answers = []
    open_streams = {}
    for request in requests:
        stream = peer.h2.get_next_available_stream_id()
        size = request.get("size", 0)
        trailers = list(request.get("trailers", {}).items())
        headers = [
            (":method", request["method"]),
            (":scheme", "http"),
            (":authority", "peers.test"),
            (":path", request["path"]),
            ("x-index", str(len(answers))),
        ]
        if size or trailers:
            headers.append(("te", "trailers"))
        peer.h2.send_headers(stream, headers, end_stream=not (size or trailers))
        sent = hashlib.sha1(content(size)).hexdigest()
        answer = {"status": 0, "length": 0, "trailers": {}, "informational": [], "headers": {}, "sent": sent}
        answers.append(answer)
        open_streams[stream] = (answer, hashlib.sha1())
        if size or trailers:
            peer.send(stream, content(size), trailers)
    for event in peer.events():
        if isinstance(event, h2.events.InformationalResponseReceived):
            open_streams[event.stream_id][0]["informational"].append(dict(event.headers)[":status"])
        elif isinstance(event, h2.events.ResponseReceived):
            headers = dict(event.headers)
            open_streams[event.stream_id][0]["status"] = int(headers[":status"])
            open_streams[event.stream_id][0]["headers"] = headers
        elif isinstance(event, h2.events.DataReceived):
            answer, digest = open_streams[event.stream_id]
            answer["length"] += len(event.data)
            digest.update(event.data)
        elif isinstance(event, h2.events.TrailersReceived):
            open_streams[event.stream_id][0]["trailers"] = dict(event.headers)
        elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
            answer, digest = open_streams.pop(event.stream_id)
            answer["sha1"] = digest.hexdigest()
            if isinstance(event, h2.events.StreamReset):
                answer["reset"] = int(event.error_code)
            if not open_streams:
                break
        elif isinstance(event, h2.events.ConnectionTerminated):
            raise SystemExit(f"GOAWAY {event.error_code}")
    peer.h2.close_connection()
    peer.flush()
    if open_streams:
        raise SystemExit(f"the connection ended with {len(open_streams)} streams open")
    print(json.dumps(answers))


if sys.argv[1] == "server":
    server()
else:
    client(int(sys.argv[2]), json.loads(sys.argv[3]))
