#!/usr/bin/python3
"""Lists the displays of a planecast server and saves one picture, with nothing but the proto.

    example.py                    # list
    example.py --out DIR desk     # and save DIR/desk.png and DIR/desk.h264
    PLANECAST_TICKET=pct_... example.py --server vmhost:7443 --tls-ca ca.pem desk

Needs Debian's python3-grpcio, python3-protobuf, protobuf-compiler and protobuf-compiler-grpc. The
stubs are made from the proto files at each start, into a folder that is removed again.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

try:
    import grpc
except ImportError:
    sys.exit("this Python has no gRPC: apt-get install python3-grpcio python3-protobuf, and run "
             "this with /usr/bin/python3, which sees Debian's packages")

PROTO_FOLDER = pathlib.Path(__file__).resolve().parents[2] / "proto"
DEFAULT_SERVER = "unix:/run/planecast/planecast.sock"
# Key frames of large displays exceed gRPC's default of 4 MiB.
MESSAGE_SIZE_MAX = 128 << 20
# How long to wait for an answer or for the first picture, in seconds.
TIMEOUT_S = 10


def make_stubs(folder):
    """Generates Python modules from the protos into a folder and makes them importable."""
    plugin = shutil.which("grpc_python_plugin")
    if plugin is None or shutil.which("protoc") is None:
        sys.exit("protoc or its plugin is missing: "
                 "apt-get install protobuf-compiler protobuf-compiler-grpc")
    protos = sorted(str(path.relative_to(PROTO_FOLDER))
                    for path in PROTO_FOLDER.glob("planecast/v1/*.proto"))
    subprocess.run(["protoc", f"--proto_path={PROTO_FOLDER}", f"--python_out={folder}",
                    f"--grpc_python_out={folder}",
                    f"--plugin=protoc-gen-grpc_python={plugin}", *protos], check=True)
    sys.path.insert(0, folder)


def open_channel(server, tls_ca, ticket):
    """Opens a channel, and says what to send as metadata with each call."""
    options = [("grpc.max_receive_message_length", MESSAGE_SIZE_MAX)]
    is_local = server.startswith(("unix:", "127.0.0.1:", "localhost:", "[::1]:"))
    if is_local:
        options.append(("grpc.enable_http_proxy", 0))
    if ticket and not is_local and not tls_ca:
        sys.exit("a ticket is never sent over plain text to another machine; use --tls-ca")
    metadata = [("authorization", f"Bearer {ticket}")] if ticket else []
    if not tls_ca:
        return grpc.insecure_channel(server, options=options), metadata
    try:
        credentials = grpc.ssl_channel_credentials(tls_ca.read_bytes())
    except OSError as error:
        sys.exit(f"can't read the CA: {error}")
    return grpc.secure_channel(server, credentials, options=options), metadata


def list_displays(channel, metadata):
    """Prints each display, and why it has no picture if so."""
    from planecast.v1 import display_pb2, display_service_pb2, display_service_pb2_grpc
    service = display_service_pb2_grpc.DisplayServiceStub(channel)
    request = display_service_pb2.ListDisplaysRequest()
    while True:
        response = service.ListDisplays(request, timeout=TIMEOUT_S, metadata=metadata)
        for display in response.displays:
            state = display_pb2.Display.State.Name(display.state)
            print(" ".join(filter(None, [display.name, state, display.state_reason,
                                         display.state_remedy])))
        if not response.next_page_token:
            return
        request.page_token = response.next_page_token


def save_snapshot(channel, metadata, name, path):
    """Saves the current picture as PNG."""
    from planecast.v1 import display_service_pb2, display_service_pb2_grpc
    service = display_service_pb2_grpc.DisplayServiceStub(channel)
    snapshot = service.GetSnapshot(display_service_pb2.GetSnapshotRequest(name=name),
                                   timeout=TIMEOUT_S, metadata=metadata)
    path.write_bytes(snapshot.image)
    print(f"wrote {path}, {snapshot.width_px}x{snapshot.height_px}")


def save_key_frame(channel, metadata, name, path):
    """Streams until the first picture, a key frame that decodes by itself, and saves it.

    This opens the ticket's session, if there is a ticket: before it only what reads may be called,
    and after it whatever is called needs the stream's viewer id as `planecast-viewer-id`.
    """
    from planecast.v1 import viewer_service_pb2, viewer_service_pb2_grpc
    service = viewer_service_pb2_grpc.ViewerServiceStub(channel)
    request = viewer_service_pb2.WatchDisplayRequest(name=name)
    stream = service.WatchDisplay(request, timeout=TIMEOUT_S, metadata=metadata)
    for response in stream:
        event = response.event
        if event.HasField("started"):
            print(f"streaming {event.started.codec}, "
                  f"{event.started.visible_width_px}x{event.started.visible_height_px}")
        elif event.HasField("access_unit"):
            path.write_bytes(event.access_unit.data)
            print(f"wrote {path}, {len(event.access_unit.data)} bytes")
            stream.cancel()
            return


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=os.environ.get("PLANECAST_SERVER", DEFAULT_SERVER),
                        help="unix:PATH or HOST:PORT, in plain text without --tls-ca")
    parser.add_argument("--tls-ca", type=pathlib.Path,
                        help="PEM of the CA that signed the server's certificate; makes it TLS")
    parser.add_argument("--ticket", default=os.environ.get("PLANECAST_TICKET", ""),
                        help="what lets you in; the environment keeps it out of the process list")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("."),
                        help="folder for the files")
    parser.add_argument("display", nargs="?", help="the display whose picture to save")
    args = parser.parse_args()

    channel, metadata = open_channel(args.server, args.tls_ca, args.ticket)
    with tempfile.TemporaryDirectory() as stubs, channel:
        make_stubs(stubs)
        try:
            list_displays(channel, metadata)
            if args.display:
                args.out.mkdir(parents=True, exist_ok=True)
                name = f"displays/{args.display}"
                save_snapshot(channel, metadata, name, args.out / f"{args.display}.png")
                save_key_frame(channel, metadata, name, args.out / f"{args.display}.h264")
        except grpc.RpcError as error:
            sys.exit(f"{args.server}: {error.code().name}: {error.details()}")


if __name__ == "__main__":
    main()
