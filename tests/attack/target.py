"""What an attacker aims at: connections to the daemon, time, and a count of what he did."""

import collections
import errno
import itertools
import json
import select
import socket
import ssl
import struct
import time

import wire

READ_MAX = 1 << 18
WRITE_MAX = 1 << 17
# Bytes read before the peer may send as many more.
WINDOW_STEP = 1 << 25
# A storm that was cut off: what its next connections send, at once and a second.
INTRODUCTION = 8 << 10
PATIENT_INTRODUCTION, PATIENT_CALLS = 2 << 10, 60
RATE_FIRST, RATE_MIN, SLOWER = 512 << 10, 4 << 10, 0.7
# Not in Python 3.11's socket module.
IP_BIND_ADDRESS_NO_PORT = 24
# gRPC's codes that an attacker hears when he is kept down.
STATUS_OK, STATUS_RESOURCE_EXHAUSTED = "0", "8"


class Over(Exception):
    """The attack's time is up."""


class Cut(Exception):
    """The daemon closed the connection, which it had served, or did not take it."""

    def __init__(self, served=False):
        super().__init__()
        self.served = served


class Target:
    """Where to attack, for how long, with what."""

    # Who is not served so long tries again.
    HANDSHAKE_MAX_S = 1.0

    def __init__(self, facts):
        # One of plain, tls, unix, crowd: TLS from 250 addresses, and patient: plain, slow enough not to
        # be cut off.
        self.way = facts["way"]
        self.path = facts["path"]
        self.ports = facts["ports"]
        self.seconds = facts["seconds"]
        # Of a viewer; empty for strangers.
        self.secret = facts["secret"]
        # The one that others watch.
        self.display = facts["display"]
        self.done = collections.Counter()
        self.deadline = 0.0
        self.began = 0.0
        self._context = self._tls_context() if self.tls else None

    @property
    def tls(self):
        return self.way in ("tls", "crowd")

    @property
    def scheme(self):
        return "https" if self.tls else "http"

    def start(self):
        self.began = time.monotonic()
        self.deadline = self.began + self.seconds

    def left(self):
        """Seconds; raises Over if there are none."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise Over
        return left

    def count(self, what, number=1):
        """What is no connection's; what is, the connection counts."""
        self.done[what] += number

    def credentials(self):
        """Metadata of a call: the ticket, if there is one."""
        return [("authorization", f"Bearer {self.secret}")] if self.secret else []

    def report(self):
        took = max(time.monotonic() - self.began, 1e-3)
        return json.dumps({"seconds": took, "done": dict(self.done)})

    # --- connecting

    def socket(self, number=0):
        """A socket that connects, from an address of this number; raises Cut if it can't."""
        if self.way == "unix":
            raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            address = self.path
        else:
            raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            raw.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.bind((self._source(number), 0))
            address = ("127.0.0.1", self.ports["tls" if self.tls else "plain"])
        raw.setblocking(False)
        error = raw.connect_ex(address)
        if error not in (0, errno.EINPROGRESS):
            raw.close()
            raise Cut
        self.count("connections")
        return raw

    def connect(self, number=0, window=wire.WINDOW_MAX):
        """A connection that has said hello."""
        raw = self.socket(number)
        if self._context is not None:
            self._await_connected(raw)
            raw = self._context.wrap_socket(raw, do_handshake_on_connect=False)
        connection = Connection(self, raw)
        connection.shake_hands()
        connection.queue(wire.greeting(window))
        return connection

    def _await_connected(self, raw):
        poll = select.poll()
        poll.register(raw, select.POLLOUT)
        poll.poll(min(self.left(), self.HANDSHAKE_MAX_S) * 1000)
        try:
            raw.getpeername()
        except OSError:
            raw.close()
            raise Cut from None

    def again_and_again(self, attack):
        """Calls attack(connection) with a new connection whenever the last is cut off."""
        for number in itertools.count():
            try:
                with self.connect(number) as connection:
                    attack(connection)
            except Cut as cut:
                self.cut(cut)

    def cut(self, cut):
        self.count("cut off" if cut.served else "turned away")
        if self.left() < 0.001:
            raise Over
        # A listener that takes nobody would else cost the attacker's core for nothing.
        time.sleep(0.001)

    def _source(self, number):
        if self.way == "crowd":
            return f"127.1.0.{number % 250 + 1}"
        return "127.0.0.2"

    @staticmethod
    def _tls_context():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        return context

    def client_hello(self):
        """The first bytes of a TLS handshake."""
        outgoing = ssl.MemoryBIO()
        tls = self._tls_context().wrap_bio(ssl.MemoryBIO(), outgoing)
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return outgoing.read()


class Connection:
    """HTTP/2 from a client's side. Nothing blocks but send and shake_hands, and those not for ever."""

    def __init__(self, target, sock):
        self.target = target
        self.sock = sock
        self.next_stream = 1
        self.encoder = wire.Encoder()
        # What the peer allows us to send.
        self.window = wire.WINDOW_DEFAULT
        self.stream_window_first = wire.WINDOW_DEFAULT
        self.stream_windows = {}
        self._decoder = wire.Decoder()
        self._readers = collections.defaultdict(wire.MessageReader)
        self._blocks = {}
        self._in = bytearray()
        self._out = bytearray()
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._unacknowledged = 0
        # Bytes came back: what is done on it, and was, counts. At a closed door nothing does.
        self.served = False
        self._done = collections.Counter()
        self.sent = 0
        self.born = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._read_last_words()
        self.sock.close()

    def fileno(self):
        return self.sock.fileno()

    def count(self, what, number=1):
        """What was done on this connection."""
        if self.served:
            self.target.count(what, number)
        else:
            self._done[what] += number

    def _note_served(self):
        if self.served:
            return
        self.served = True
        self.target.count("served")
        self.target.done.update(self._done)

    def _read_last_words(self):
        """Who has only sent so far hears whether he was served."""
        if self.served:
            return
        try:
            self._read()
        except (Cut, ValueError):
            pass

    def abort(self):
        """Closes it with a reset, so that nothing of it is left in our kernel."""
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        self.sock.close()

    def shake_hands(self):
        if not isinstance(self.sock, ssl.SSLSocket):
            return
        deadline = time.monotonic() + self.target.HANDSHAKE_MAX_S
        while time.monotonic() < deadline:
            try:
                self.sock.do_handshake()
                return self._note_served()
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT)
            except OSError:
                break
        self.close()
        raise Cut

    # --- sending

    def queue(self, data):
        self._out += data

    @property
    def queued(self):
        return len(self._out)

    def flush(self):
        """Sends what can be sent now. True if nothing is left."""
        sent = 0
        try:
            with memoryview(self._out) as whole:
                while sent < len(whole):
                    sent += self.sock.send(whole[sent:sent + WRITE_MAX])
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            # Still connecting.
            if error.errno != errno.ENOTCONN:
                self._read_last_words()
                raise Cut(self.served) from None
        self.count("bytes", sent)
        self.sent += sent
        del self._out[:sent]
        return not self._out

    def send(self, data):
        """Sends all of it, and throws away what comes meanwhile."""
        self.queue(data)
        while not self.flush():
            self._wait(select.POLLIN | select.POLLOUT)
            self.discard()
        self.target.left()

    def _wait(self, events):
        self._poll.modify(self.sock, events)
        self._poll.poll(min(self.target.left(), 0.1) * 1000)

    # --- reading

    def discard(self):
        """Reads what came and looks at none of it."""
        while self._read():
            pass

    def await_served(self):
        """Waits for the first bytes and reads no others."""
        deadline = time.monotonic() + self.target.HANDSHAKE_MAX_S
        while not self.served:
            if time.monotonic() > deadline:
                raise Cut
            self.wait()
            self._read()

    def wait(self, seconds=0.05):
        """Waits for something to read."""
        self._poll.modify(self.sock, select.POLLIN)
        self._poll.poll(min(self.target.left(), seconds) * 1000)

    def events(self):
        """What came: [(stream, "message", bytes)] and [(stream, "end", status)]. Answers what HTTP/2
        wants answered."""
        while data := self._read():
            self._in += data
            self._give_window(len(data))
        events = []
        for kind, flags, stream, payload in wire.split_frames(self._in):
            self._on_frame(events, kind, flags, stream, payload)
        return events

    def _read(self):
        try:
            data = self.sock.recv(READ_MAX)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        except OSError as error:
            if error.errno == errno.ENOTCONN:
                return b""
            raise Cut(self.served) from None
        if not data:
            raise Cut(self.served)
        self._note_served()
        self.count("bytes read", len(data))
        return data

    def _give_window(self, size):
        self._unacknowledged += size
        if self._unacknowledged > WINDOW_STEP:
            self.queue(wire.window_update(0, self._unacknowledged))
            self._unacknowledged = 0

    def _on_frame(self, events, kind, flags, stream, payload):
        if kind == wire.DATA:
            for message in self._readers[stream].feed(payload):
                events.append((stream, "message", message))
            if flags & wire.END_STREAM:
                self._end(events, stream, "")
        elif kind in (wire.HEADERS, wire.CONTINUATION):
            self._on_headers(events, flags, stream, payload)
        elif kind == wire.RST_STREAM:
            self._end(events, stream, "reset")
        elif kind == wire.PING and not flags & wire.ACK:
            self.queue(wire.frame(wire.PING, wire.ACK, 0, payload))
        elif kind == wire.SETTINGS and not flags & wire.ACK:
            for at in range(0, len(payload) - 5, 6):
                key, value = struct.unpack_from(">HI", payload, at)
                if key == wire.INITIAL_WINDOW_SIZE:
                    self._set_stream_window(value)
        elif kind == wire.WINDOW_UPDATE:
            increment = struct.unpack(">I", payload)[0]
            if stream == 0:
                self.window += increment
            elif stream in self.stream_windows:
                self.stream_windows[stream] += increment

    def _set_stream_window(self, value):
        for stream in self.stream_windows:
            self.stream_windows[stream] += value - self.stream_window_first
        self.stream_window_first = value

    def _on_headers(self, events, flags, stream, payload):
        # The flags that matter are those of the first frame.
        block, ends = self._blocks.pop(stream, (b"", flags & wire.END_STREAM))
        block += payload
        if not flags & wire.END_HEADERS:
            self._blocks[stream] = (block, ends)
            return
        headers = dict(self._decoder.decode(block))
        if ends:
            self._end(events, stream, headers.get("grpc-status", "none"))

    def _end(self, events, stream, status):
        self._readers.pop(stream, None)
        self.stream_windows.pop(stream, None)
        events.append((stream, "end", status))

    # --- calls

    def open_call(self, method, body=None, ends=True, extra=()):
        """Queues a call's begin; `body` is its first message. Returns its stream."""
        stream = self.next_stream
        self.next_stream += 2
        headers = self.encoder.encode(wire.request_headers(method, self.target.scheme, extra))
        self.queue(wire.frame(wire.HEADERS, wire.END_HEADERS, stream, headers))
        self.stream_windows[stream] = self.stream_window_first
        if body is not None:
            self.send_message(stream, body, ends)
        return stream

    def send_message(self, stream, body, ends=False):
        """Queues a message, without a look at the windows."""
        data = wire.message(body)
        self.window -= len(data)
        if stream in self.stream_windows:
            self.stream_windows[stream] -= len(data)
        self.queue(wire.frame(wire.DATA, wire.END_STREAM if ends else 0, stream, data))

    def room(self, stream):
        """Bytes of data that the peer takes on this stream now."""
        return min(self.window, self.stream_windows.get(stream, 0))

    def reset(self, stream):
        self.stream_windows.pop(stream, None)
        self._readers.pop(stream, None)
        self.queue(wire.rst_stream(stream))


class Storm:
    """Keeps as many calls open as it is told, on several connections, and opens each anew when it
    ends. Sends as fast as it can, and slower each time that this was too fast. What an attacker does
    beyond that he does in `on_message` and `on_tick`."""

    # Of each connection, in bytes a second, for attackers who don't want to be cut off at all.
    PATIENT_RATE = 3 << 10
    PATIENT_CONNECTIONS = 4

    def __init__(self, target, method, body, ends=True, connections=4, calls=200):
        self.target = target
        self.method = method
        self.body = body
        self.ends = ends
        self.calls = calls
        self._numbers = itertools.count()
        self._wanted = connections
        self._open = {}
        # Bytes a second of each connection; None: as many as there are.
        self._rate = None
        self._introduction = INTRODUCTION
        if target.way == "patient":
            self._introduction = PATIENT_INTRODUCTION
            self._rate = self.PATIENT_RATE
            self._wanted = min(connections, self.PATIENT_CONNECTIONS)
            self.calls = min(calls, PATIENT_CALLS)

    def extra(self):
        """Metadata of the next call."""
        return self.target.credentials()

    def on_message(self, connection, stream, message):
        """A message came. True to reset the call."""
        return False

    def on_tick(self, connection, streams):
        """Each connection's turn."""

    def run(self):
        while True:
            self.target.left()
            self._connect()
            for connection in list(self._open):
                try:
                    self._turn(connection)
                except Cut as cut:
                    self._drop(connection, cut)
            if self._open:
                select.select(list(self._open), [], [], min(self.target.left(), 0.02))

    def _connect(self):
        while len(self._open) < self._wanted:
            try:
                self._open[self.target.connect(next(self._numbers))] = set()
            except Cut as cut:
                self.target.cut(cut)
                return

    def _drop(self, connection, cut):
        del self._open[connection]
        connection.close()
        if connection.sent > self._introduction:
            slower = RATE_FIRST if self._rate is None else self._rate * SLOWER
            self._rate = max(RATE_MIN, slower)
        self.target.cut(cut)

    def _may_send(self, connection):
        if self._rate is None:
            return True
        age = time.monotonic() - connection.born
        return connection.sent + connection.queued < self._introduction + self._rate * age

    def _turn(self, connection):
        streams = self._open[connection]
        for stream, what, value in connection.events():
            if stream not in streams:
                continue
            if what == "message":
                connection.count("messages")
                if self.on_message(connection, stream, value):
                    connection.reset(stream)
                    streams.discard(stream)
            else:
                self._count_end(connection, value)
                streams.discard(stream)
        while len(streams) < self.calls and connection.queued < WRITE_MAX and \
                self._may_send(connection):
            streams.add(connection.open_call(self.method, self.body, self.ends, self.extra()))
            connection.count("calls")
        if self._may_send(connection):
            self.on_tick(connection, streams)
        connection.flush()

    @staticmethod
    def _count_end(connection, status):
        connection.count({STATUS_OK: "answered", STATUS_RESOURCE_EXHAUSTED: "refused"}
                         .get(status, f"ended with {status or 'nothing'}"))
