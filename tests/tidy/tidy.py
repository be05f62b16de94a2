#!/usr/bin/python3
"""The rules of the house that a machine can check. Run by CTest as `tidy`.

Usage: tidy.py ROOT          checks the tree, prints one line per finding, exits 1 if there is any
       tidy.py --self-test   proves on small bad examples that every rule can fail
"""

import pathlib
import re
import subprocess
import sys

LINES_MAX = 600

# What every room of encoder/ may know: the contract.
CONTRACT = ("encoder/encoder.h", "encoder/access_unit.h", "encoder/encoder_checks.h",
            "encoder/probe_frame.h", "vfio/frame.h", "vfio/clock.h")
# What the rooms of service/ stand on.
ENGINE = ("encoder/", "vfio/")

# Folder -> folders whose headers it may include. The first match of the path's start counts.
INCLUDES = [
    ("vfio/fake/", ("vfio/",)),
    ("vfio/", ("vfio/",)),
    # Rooms, each after what it stands on.
    ("encoder/h264/", (*CONTRACT, "encoder/h264/")),
    ("encoder/pixels/", (*CONTRACT, "encoder/pixels/")),
    ("encoder/screen/", (*CONTRACT, "encoder/h264/", "encoder/pixels/", "encoder/screen/")),
    ("encoder/software/", (*CONTRACT, "encoder/h264/", "encoder/pixels/", "encoder/screen/",
                           "encoder/software/")),
    ("encoder/va/", (*CONTRACT, "encoder/h264/", "encoder/pixels/", "encoder/screen/",
                     "encoder/va/")),
    ("encoder/", ("encoder/", "vfio/frame.h", "vfio/clock.h")),
    ("service/access/", ("vfio/", "service/access/")),
    ("service/core/", (*ENGINE, "service/core/")),
    ("service/certificates/", ("vfio/", "service/certificates/")),
    ("service/sockets/", ("vfio/", "service/sockets/")),
    ("service/broker/", ("vfio/", "service/sockets/", "service/broker/", "planecast/broker/")),
    ("service/telemetry/", (*ENGINE, "service/core/", "service/sockets/", "service/telemetry/")),
    ("service/config/", (*ENGINE, "service/core/", "service/sockets/", "service/telemetry/",
                         "service/access/", "service/config/", "planecast/")),
    ("service/process/", ("vfio/", "service/sockets/", "service/telemetry/log.h",
                          "service/process/")),
    ("service/sources/", (*ENGINE, "service/core/", "service/sockets/", "service/telemetry/",
                          "service/sources/", "planecast/broker/")),
    ("service/rpc/", (*ENGINE, "service/core/", "service/sockets/", "service/telemetry/",
                      "service/access/", "service/config/", "service/process/", "service/sources/",
                      "service/rpc/", "planecast/", "grpc/")),
    ("service/", ("service/", "encoder/", "vfio/", "planecast/")),
    ("clients/", ("clients/", "planecast/")),
]
OWN_ROOTS = ("vfio/", "encoder/", "service/", "clients/", "tests/", "planecast/")

MAY_NAME_GRPC = ("service/", "clients/", "tests/service/", "tests/clients/", "tests/e2e/",
                 "tests/fuzz/", "tests/vm/", "tests/soak/", "tests/net/", "tests/bench/")
MAY_NOT_NAME_GRPC = ("service/access/", "service/broker/", "service/certificates/", "service/core/",
                     "service/process/")
MAY_NOT_NAME_PROTOBUF = ("service/access/", "service/certificates/", "service/core/",
                         "service/process/", "vfio/", "encoder/")
MAY_CALL_KERNEL = ("vfio/sys.cc", "service/sockets/connection_watch.cc", "service/process/drop.cc",
                   "encoder/testing/va_driver/", "tests/va_check/", "tests/vm/")
MAY_NAME_IOCTL = ("vfio/", "tests/vfio/", "tests/vm/", "tests/fuzz/", "tests/e2e/")
MAY_NAME_VA = ("encoder/va", "encoder/testing/", "tests/encoder/va", "tests/bench/va_")

# Pattern, why, and the paths where it may stand all the same.
BANNED = [
    (r"\bsleep_for\b|\busleep\s*\(|\bnanosleep\s*\(|(?<![\w_])sleep\s*\(",
     "sleeping; wait for a condition or a clock instead", ()),
    (r"\babsl::Mutex\b", "absl::Mutex; Debian's is opaque to TSan, use std::mutex", ()),
    (r"(?<![\w.])new\s+(?:\w+::)*[A-Z]\w*\s*[({]", "naked new; use a factory or make_unique",
     ("tests/",)),
    (r"\b(TODO|FIXME|XXX)\b", "a marker for later; do it or say in the README what is missing", ()),
    (r"\bstd::regex\b", "std::regex; slow and throws", ()),
    (r"\busing namespace std;", "using namespace std", ()),
    (r"\bthrow\b(?!\s*\()", "throw; return absl::Status", ("tests/",)),
]


def starts(path, prefixes):
    return any(path.startswith(prefix) for prefix in prefixes)


def strip_comments(text):
    text = re.sub(r'R"(\w*)\(.*?\)\1"', lambda m: "\n" * m.group(0).count("\n"), text, flags=re.S)
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group(0).count("\n"), text, flags=re.S)
    text = re.sub(r'"(?:\\.|[^"\\\n])*"', lambda m: m.group(0) if m.group(0).endswith('.h"') else '""',
                  text)
    return re.sub(r"//[^\n]*", "", text)


def check_cpp(path, text):
    findings = []

    def find(line, what):
        findings.append(f"{path}:{line}: {what}")

    code = strip_comments(text)
    lines = code.split("\n")
    if text.count("\n") > LINES_MAX:
        find(1, f"{text.count(chr(10))} lines; over {LINES_MAX} it is two rooms in one")
    if path.endswith(".h") and "#pragma once" not in text:
        find(1, "header without #pragma once")
    if path.endswith(".h") and not text.startswith("//"):
        find(1, "no comment at the top that says what lives here")
    allowed = next((may for start, may in INCLUDES if path.startswith(start)), None)
    for number, line in enumerate(lines, 1):
        include = re.match(r'\s*#include\s+(?:"([^"]+)"|<([^>]+)>)', line)
        if include:
            name = include.group(1) or include.group(2)
            if include.group(1) and starts(name, OWN_ROOTS) and allowed is not None:
                if not starts(name, allowed):
                    find(number, f"may not include {name}: dependencies point one way")
                if path.startswith("vfio/") and not path.startswith("vfio/fake/") \
                        and name.startswith("vfio/fake/"):
                    find(number, f"may not include {name}: the real thing does not know its fake")
            if re.match(r"grpc(pp)?/", name) or name.endswith(".grpc.pb.h"):
                if not starts(path, MAY_NAME_GRPC) or starts(path, MAY_NOT_NAME_GRPC):
                    find(number, f"may not name gRPC ({name})")
            if name.endswith(".pb.h") and starts(path, MAY_NOT_NAME_PROTOBUF):
                find(number, f"may not name protobuf ({name})")
            if name.startswith("va/") and not starts(path, MAY_NAME_VA):
                find(number, f"may not name libva ({name})")
            continue
        if re.search(r"(?<![\w.>:])(?:::)?(ioctl|pidfd_getfd)\s*\(", line) \
                and not starts(path, MAY_CALL_KERNEL):
            find(number, "a device system call outside vfio/sys.cc; go through Sys")
        if re.search(r"\bIoctl\s*\(", line) and not starts(path, MAY_NAME_IOCTL):
            find(number, "an ioctl outside vfio/")
        # A private constructor is out of make_unique's reach; the owner right around it is fine.
        line = re.sub(r"(unique_ptr<[^>]+>\s*\w*|std::shared_ptr<[^>]+>\s*\w*)\(new\b", "", line)
        for pattern, why, exempt in BANNED:
            if re.search(pattern, line) and not starts(path, exempt):
                find(number, why)
    for number, line in enumerate(text.split("\n"), 1):
        if "NOLINT" in line and not re.search(r"NOLINT\w*(\([^)]*\))?:? *\S*.*(: |-- )\S", line):
            find(number, "NOLINT without a reason")
        if re.search(r"(?<![\w.])/(root|home|work)/", line):
            find(number, "a path of one machine")
        if re.search(r"\b(TODO|FIXME|XXX)\b", line) and re.search(r"//|/\*", line):
            find(number, "a marker for later")
    return findings


def check_proto(path, text):
    """Every element has a comment above it; none behind it."""
    findings = []
    element = re.compile(
        r"^\s*(message|enum|service|rpc|oneof)\s+(\w+)|^\s*(?:repeated\s+|optional\s+)?[\w.]+\s+(\w+)\s*=\s*\d+"
        r"|^\s*([A-Z][A-Z0-9_]*)\s*=\s*\d+")
    previous = ""
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        match = element.match(line)
        if match and not stripped.startswith("//") and not stripped.startswith("option"):
            name = next(g for g in match.groups()[1:] if g)
            if not previous.startswith("//"):
                findings.append(f"{path}:{number}: {name} has no comment above it")
            if "//" in stripped:
                findings.append(f"{path}:{number}: {name} has a comment behind it")
        if stripped:
            previous = stripped
        else:
            previous = ""
    return findings


def check_listed(sources, cmake_text):
    return [f"{path}:1: not listed in any CMakeLists.txt" for path in sources
            if not re.search(r"(?<![\w])" + re.escape(path.rsplit("/", 1)[1]), cmake_text)]


def check_readmes(files):
    folders = ("proto", "vfio", "vfio/fake", "encoder", "encoder/h264", "encoder/pixels",
               "encoder/screen", "encoder/software", "encoder/va", "service",
               "service/access", "service/broker", "service/certificates", "service/config",
               "service/core", "service/process", "service/rpc", "service/sockets",
               "service/sources", "service/telemetry", "clients",
               "clients/cpp", "clients/cli", "clients/python", "tests", "docs", "packaging")
    return [f"{folder}/README.md:1: missing" for folder in folders
            if f"{folder}/README.md" not in files]


def check_links(path, text, root):
    """Relative links of a page resolve."""
    findings = []
    for number, line in enumerate(text.split("\n"), 1):
        for target in re.findall(r"\]\(([^)#\s]+)", line):
            if "://" in target:
                continue
            if not (root / pathlib.Path(path).parent / target).exists():
                findings.append(f"{path}:{number}: the link to {target} leads nowhere")
    return findings


def check_tree(root):
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "--cached", "--others",
                             "--exclude-standard"], capture_output=True, text=True, check=True)
    files = [f for f in listed.stdout.split("\n") if f and (root / f).exists()]
    findings = []
    cmake_text = "\n".join((root / f).read_text() for f in files if f.endswith("CMakeLists.txt"))
    sources = []
    for path in files:
        if path.endswith((".cc", ".h")):
            findings += check_cpp(path, (root / path).read_text())
        if path.endswith(".cc"):
            sources.append(path)
        if path.endswith(".md"):
            findings += check_links(path, (root / path).read_text(), root)
        if path.endswith(".proto"):
            findings += check_proto(path, (root / path).read_text())
    findings += check_listed(sources, cmake_text)
    findings += check_readmes(set(files))
    return findings


BAD = [
    ("vfio/a.h", '// x\n#pragma once\n#include "encoder/encoder.h"\n', "dependencies point one way"),
    ("vfio/a.h", '// x\n#pragma once\n#include "vfio/fake/scene.h"\n', "does not know its fake"),
    ("encoder/a.h", '// x\n#pragma once\n#include "vfio/plane_source.h"\n', "one way"),
    ("clients/a.h", '// x\n#pragma once\n#include "service/daemon.h"\n', "one way"),
    ("service/sources/a.h", '// x\n#pragma once\n#include "service/rpc/listen.h"\n', "one way"),
    ("service/telemetry/a.h", '// x\n#pragma once\n#include "service/config/config.h"\n', "one way"),
    ("encoder/screen/a.h", '// x\n#pragma once\n#include "encoder/software/h264_stream.h"\n', "one way"),
    ("encoder/va/a.h", '// x\n#pragma once\n#include "encoder/software/h264_stream.h"\n', "one way"),
    ("service/access/a.h", '// x\n#pragma once\n#include "service/core/viewer.h"\n', "one way"),
    ("service/access/a.h", '// x\n#pragma once\n#include "service/telemetry/log.h"\n', "one way"),
    ("service/broker/a.h", '// x\n#pragma once\n#include "service/core/viewer.h"\n', "one way"),
    ("service/broker/a.h", '// x\n#pragma once\n#include <grpcpp/grpcpp.h>\n', "may not name gRPC"),
    ("service/certificates/a.h", '// x\n#pragma once\n#include "service/config/config.h"\n', "one way"),
    ("service/core/a.h", '// x\n#pragma once\n#include "service/access/policy.h"\n', "one way"),
    ("service/process/a.h", '// x\n#pragma once\n#include "service/config/config.h"\n', "one way"),
    ("service/process/a.h", '// x\n#pragma once\n#include <grpcpp/grpcpp.h>\n', "may not name gRPC"),
    ("service/access/a.h", '// x\n#pragma once\n#include <grpcpp/grpcpp.h>\n', "may not name gRPC"),
    ("service/access/a.h", '// x\n#pragma once\n#include "planecast/v1/display.pb.h"\n', "protobuf"),
    ("service/core/a.h", '// x\n#pragma once\n#include <grpcpp/grpcpp.h>\n', "may not name gRPC"),
    ("service/core/a.h", '// x\n#pragma once\n#include "planecast/v1/display.pb.h"\n', "protobuf"),
    ("encoder/a.cc", '// x\n#include <grpcpp/grpcpp.h>\n', "may not name gRPC"),
    ("service/a.cc", '// x\n#include <va/va.h>\n', "libva"),
    ("service/a.cc", '// x\nint r = ioctl(fd, 1);\n', "system call"),
    ("service/a.cc", '// x\nint r = sys.Ioctl(fd, 1, p);\n', "ioctl outside vfio"),
    ("vfio/a.h", "// x\nint a;\n", "#pragma once"),
    ("vfio/a.h", "#pragma once\nint a;\n", "comment at the top"),
    ("vfio/a.cc", "// x\n" + "int a;\n" * 700, "two rooms"),
    ("tests/a.cc", "// x\nstd::this_thread::sleep_for(1s);\n", "sleeping"),
    ("vfio/a.cc", "// x\nabsl::Mutex m;\n", "absl::Mutex"),
    ("vfio/a.cc", "// x\nauto* p = new Thing(1);\n", "naked new"),
    ("vfio/a.cc", "// x\n// TODO: later\n", "marker"),
    ("vfio/a.cc", "// x\nint a;  // NOLINT\n", "NOLINT without"),
    ("vfio/a.cc", "// x\nauto p = \"/home/me/x\";\n", "path of one machine"),
    ("vfio/a.cc", "// x\nthrow Error();\n", "throw"),
]


def self_test():
    failed = 0
    for path, text, want in BAD:
        if not any(want in finding for finding in check_cpp(path, text)):
            print(f"rule never fires: {want!r} on {text!r}")
            failed += 1
    for proto in ("message A {}\n", "// a\nmessage A {\n  int32 b = 1;\n}\n",
                  "// a\nenum E {\n  E_UNSPECIFIED = 0;\n}\n",
                  "// a\nmessage A {\n  // b\n  int32 b = 1;  // c\n}\n"):
        if not check_proto("a.proto", proto):
            print(f"rule never fires: proto comments on {proto!r}")
            failed += 1
    if not check_listed(["vfio/lost.cc"], "add_library(x found.cc)"):
        print("rule never fires: listed in CMake")
        failed += 1
    if len(check_readmes(set())) != 27:
        print("rule never fires: READMEs")
        failed += 1
    if not check_links("docs/a.md", "see [that](nowhere.md)", pathlib.Path("/")):
        print("rule never fires: links")
        failed += 1
    print(f"{len(BAD) + 7 - failed} of {len(BAD) + 7} rules can fail")
    return 1 if failed else 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    findings = check_tree(pathlib.Path(sys.argv[1]))
    for finding in findings:
        print(finding)
    print(f"{len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
