"""Bytes of HTTP/2, HPACK, gRPC and protobuf, by hand: attackers send what no library would."""

import os
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 6, 7, 8, 9

# Flags.
ACK = END_STREAM = 1
END_HEADERS = 4

# Settings.
INITIAL_WINDOW_SIZE = 4
WINDOW_MAX = 2**31 - 1
WINDOW_DEFAULT = 65535
FRAME_MAX = 16384

NO_ERROR, CANCEL = 0, 8


# --- HTTP/2 frames


def frame(kind, flags, stream, payload=b""):
    return frame_head(kind, flags, stream, len(payload)) + payload


def frame_head(kind, flags, stream, size):
    return struct.pack(">IBI", size << 8 | kind, flags, stream)


def settings(values=()):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", key, value) for key, value in values))


SETTINGS_ACK = frame(SETTINGS, ACK, 0)


def rst_stream(stream, error=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", error))


def window_update(stream, increment):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def greeting(window=WINDOW_DEFAULT):
    """What a client says first. `window`: bytes of each stream, and of all, that may come unread."""
    hello = PREFACE + settings([(INITIAL_WINDOW_SIZE, window)])
    if window > WINDOW_DEFAULT:
        hello += window_update(0, window - WINDOW_DEFAULT)
    return hello + SETTINGS_ACK


def split_frames(buffer):
    """Whole frames at the begin of a bytearray, which loses them: [(kind, flags, stream, payload)]."""
    frames, at = [], 0
    while len(buffer) - at >= 9:
        head, flags, stream = struct.unpack_from(">IBI", buffer, at)
        end = at + 9 + (head >> 8)
        if end > len(buffer):
            break
        frames.append((head & 0xff, flags, stream & WINDOW_MAX, bytes(buffer[at + 9:end])))
        at = end
    del buffer[:at]
    return frames


# --- HPACK

STATIC_TABLE = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"),
    (":path", "/index.html"), (":scheme", "http"), (":scheme", "https"), (":status", "200"),
    (":status", "204"), (":status", "206"), (":status", "304"), (":status", "400"),
    (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""),
    ("accept", ""), ("access-control-allow-origin", ""), ("age", ""), ("allow", ""),
    ("authorization", ""), ("cache-control", ""), ("content-disposition", ""),
    ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""),
    ("date", ""), ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""),
    ("if-match", ""), ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""),
    ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""), ("location", ""),
    ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""),
    ("via", ""), ("www-authenticate", "")]


def integer(value, prefix_bits, first=0):
    limit = (1 << prefix_bits) - 1
    if value < limit:
        return bytes([first | value])
    out, value = bytearray([first | limit]), value - limit
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def string(text):
    raw = text.encode() if isinstance(text, str) else text
    return integer(len(raw), 7) + raw


def literal(name, value):
    """A header that no table remembers."""
    return b"\x00" + string(name) + string(value)


class Encoder:
    """What it was given once costs a byte the next time. Nothing is ever evicted: the table's 4096
    bytes are more than enough for a few kinds of requests."""

    def __init__(self):
        self.newest_first = []

    def encode(self, headers):
        return b"".join(self._one(header) for header in headers)

    def _one(self, header):
        if header in STATIC_TABLE:
            return integer(STATIC_TABLE.index(header) + 1, 7, 0x80)
        if header in self.newest_first:
            return integer(self.newest_first.index(header) + 62, 7, 0x80)
        self.newest_first.insert(0, header)
        return b"\x40" + string(header[0]) + string(header[1])


class Decoder:
    """Headers of answers. Texts in Huffman's code, which gRPC uses for binary ones only, stay as they
    are."""

    def __init__(self):
        self.newest_first = []
        self.size_max = 4096

    def decode(self, block):
        headers, at = [], 0
        while at < len(block):
            first = block[at]
            if first & 0x80:
                index, at = self._integer(block, at, 7)
                headers.append(self._entry(index))
            elif first & 0xe0 == 0x20:
                self.size_max, at = self._integer(block, at, 5)
                self._evict()
            else:
                remember = bool(first & 0x40)
                index, at = self._integer(block, at, 6 if remember else 4)
                if index:
                    name = self._entry(index)[0]
                else:
                    name, at = self._string(block, at)
                value, at = self._string(block, at)
                headers.append((name, value))
                if remember:
                    self.newest_first.insert(0, (name, value))
                    self._evict()
        return headers

    def _entry(self, index):
        return STATIC_TABLE[index - 1] if index <= 61 else self.newest_first[index - 62]

    def _evict(self):
        size = 0
        for count, (name, value) in enumerate(self.newest_first):
            size += len(name) + len(value) + 32
            if size > self.size_max:
                del self.newest_first[count:]
                return

    @staticmethod
    def _integer(block, at, prefix_bits):
        limit = (1 << prefix_bits) - 1
        value, at = block[at] & limit, at + 1
        shift = 0
        while value >= limit:
            byte = block[at]
            value, at, shift = value + ((byte & 127) << shift), at + 1, shift + 7
            if byte < 128:
                break
        return value, at

    def _string(self, block, at):
        size, at = self._integer(block, at, 7)
        return block[at:at + size].decode("latin-1"), at + size


# --- gRPC


def request_headers(method, scheme, extra=()):
    """`method`: e.g. `planecast.v1.DisplayService/ListDisplays`."""
    return [(":method", "POST"), (":scheme", scheme), (":path", "/" + method),
            (":authority", "planecast"), ("te", "trailers"),
            ("content-type", "application/grpc"), *extra]


def message(body=b""):
    """A gRPC message: its prefix and itself."""
    return struct.pack(">BI", 0, len(body)) + body


class MessageReader:
    """Cuts one stream's data into messages."""

    def __init__(self):
        self.buffer = bytearray()

    def feed(self, data):
        self.buffer += data
        messages = []
        while len(self.buffer) >= 5:
            size = struct.unpack_from(">I", self.buffer, 1)[0]
            if len(self.buffer) < 5 + size:
                break
            messages.append(bytes(self.buffer[5:5 + size]))
            del self.buffer[:5 + size]
        return messages


LIST_DISPLAYS = "planecast.v1.DisplayService/ListDisplays"
WATCH_DISPLAYS = "planecast.v1.DisplayService/WatchDisplays"
GET_SNAPSHOT = "planecast.v1.DisplayService/GetSnapshot"
STREAM_DISPLAY = "planecast.v1.ViewerService/StreamDisplay"
WATCH_DISPLAY = "planecast.v1.ViewerService/WatchDisplay"
REPORT_VIEWER = "planecast.v1.ViewerService/ReportViewer"
HEALTH_CHECK = "grpc.health.v1.Health/Check"
HEALTH_WATCH = "grpc.health.v1.Health/Watch"


def guessed_secret():
    """Looks like a ticket and is none."""
    return "pct_" + os.urandom(32).hex()[:43]


# --- protobuf


def varint(value):
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def number_field(number, value):
    return varint(number << 3) + varint(value)


def bytes_field(number, value):
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value, at, shift = value | (byte & 127) << shift, at + 1, shift + 7
        if byte < 128:
            return value, at


def fields(data):
    """{number: value}, the last of each; numbers and bytes alike."""
    found, at = {}, 0
    while at < len(data):
        tag, at = read_varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = read_varint(data, at)
        else:
            if kind == 2:
                size, at = read_varint(data, at)
            else:
                size = 8 if kind == 1 else 4
            value, at = data[at:at + size], at + size
        found[tag >> 3] = value
    return found


# Messages of planecast.v1, by what they are for.


def stream_start(display, acknowledges=True):
    """A StreamDisplayRequest with its StreamStart."""
    return bytes_field(1, bytes_field(1, f"displays/{display}") + number_field(3, int(acknowledges)))


def acknowledge(sequence, times=1):
    """A StreamDisplayRequest that acknowledges the same unit so many times."""
    return bytes_field(2, bytes_field(1, number_field(1, sequence)) * times)


KEY_FRAME_REQUEST = bytes_field(3, b"")


def viewer_limits(bitrate_bps, rate_hz):
    """A StreamDisplayRequest that changes the viewer's limits."""
    return bytes_field(4, number_field(1, bitrate_bps) + number_field(2, rate_hz))


def named(display):
    """WatchDisplayRequest and GetSnapshotRequest alike: the display's name is their first field."""
    return bytes_field(1, f"displays/{display}")
