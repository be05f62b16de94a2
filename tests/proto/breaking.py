#!/usr/bin/python3
"""Keeps the contract: what proto/ once promised stays, and what is new follows its style.

Usage: breaking.py --check       compares proto/ with the baseline: one line per broken promise
       breaking.py --lint        checks names and forms in proto/
       breaking.py --update      takes additions into the baseline; refuses if a promise is broken
                  [--break-it]   ... and does it all the same: for the time before a release only
       breaking.py --self-test   proves on small examples that every rule can fail

Each exits with 1 if there is a finding. Rules are those of buf's categories FILE and STANDARD. It
differs in that a field or enum value may go where its number and its name stay reserved.
"""

import contextlib
import importlib
import io
import pathlib
import re
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2, text_format

from examples import ADDITIONS, BASE, BREAKS, CONFIG, EXAMPLE, LINTS

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent / "proto"
BASELINE = HERE / "baseline.txtpb"
BASELINE_HEAD = """\
# proto-file: google/protobuf/descriptor.proto
# proto-message: google.protobuf.FileDescriptorSet
# Written by breaking.py --update.
"""

# Others' protocols, grpc/, are theirs to keep.
PACKAGES = ("planecast.v1", "planecast.broker.v1", "planecast.config.v1", "planecast.rpc.v1")
# Read as text, in which enum values are names: one that goes makes a file unreadable.
TEXT_PACKAGES = ("planecast.config.v1",)
# Every method of it says who may call it.
ACCESS_PACKAGES = ("planecast.v1",)

# Numbers that were reserved for what is to come and were never in use: a new field may take one. If
# such a field is removed later, its number comes out of here first, and is reserved for good.
SET_ASIDE = {
    "planecast.v1.ClientCapabilities": range(7, 16),
    "planecast.v1.Display": range(25, 32),
    "planecast.v1.StreamDisplayRequest": range(6, 16),
    "planecast.v1.StreamEvent": range(10, 32),
}

# Lint rule and element, and why it may be otherwise. One that nothing needs is a finding.
EXCEPTIONS = {}

FieldProto = descriptor_pb2.FieldDescriptorProto


# --- reading


def load_access_option():
    """Makes protobuf know our option, so that it is read, written and compared by its fields."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["protoc", f"-I{ROOT}", f"--python_out={folder}",
                        "planecast/v1/access.proto"], check=True)
        sys.path.insert(0, folder)
        return importlib.import_module("planecast.v1.access_pb2").access


def compiled(root, also=()):
    """The files of our packages below `root`, which may import those below `also`."""
    files = sorted(str(f.relative_to(root)) for f in root.glob("planecast/**/*.proto"))
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["protoc", f"-I{root}", *(f"-I{path}" for path in also), "--include_imports",
                        "--include_source_info", f"--descriptor_set_out={out.name}", *files],
                       check=True)
        everything = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(out.name).read_bytes())
    ours = [f for f in everything.file if f.name in files]
    return descriptor_pb2.FileDescriptorSet(file=sorted(ours, key=lambda f: f.name))


def to_text(files):
    plain = descriptor_pb2.FileDescriptorSet()
    plain.CopyFrom(files)
    for file in plain.file:
        file.ClearField("source_code_info")
    return BASELINE_HEAD + text_format.MessageToString(plain)


def from_text(text):
    """The baseline's files, and what is wrong if they can't be read."""
    files = descriptor_pb2.FileDescriptorSet()
    try:
        text_format.Parse(text, files)
    except text_format.ParseError as error:
        # The baseline has our option's values by name.
        return None, [f"{BASELINE.name}: can't be read with access.proto as it is now: {error}"]
    return files, []


class Element:
    """Something with a name of its own: message, enum, service, method or extension."""

    def __init__(self, kind, name, file, proto):
        self.kind, self.name, self.file, self.proto = kind, name, file, proto


def elements_of(files):
    """Every element by its full name, outer ones first."""
    elements = {}

    def add(kind, scope, file, proto):
        name = f"{scope}.{proto.name}"
        elements[name] = Element(kind, name, file, proto)
        return name

    def add_message(scope, file, message):
        name = add("message", scope, file, message)
        for nested in message.nested_type:
            add_message(name, file, nested)
        for enum in message.enum_type:
            add("enum", name, file, enum)

    for file in files.file:
        for message in file.message_type:
            add_message(file.package, file, message)
        for enum in file.enum_type:
            add("enum", file.package, file, enum)
        for extension in file.extension:
            add("extension", file.package, file, extension)
        for service in file.service:
            name = add("service", file.package, file, service)
            for method in service.method:
                add("method", name, file, method)
    return elements


def is_map_entry(element):
    return element.kind == "message" and element.proto.options.map_entry


# --- comparing


def options_of(proto):
    """Set options as text. `deprecated` promises nothing."""
    options = {}
    for field, value in proto.options.ListFields():
        if field.name != "deprecated":
            text = value if isinstance(value, (bool, int, str)) else str(value)
            if field.enum_type is not None:
                text = field.enum_type.values_by_number[value].name
            options[field.name] = " ".join(str(text).split())
    return options


def type_of(field, elements):
    if field.type not in (FieldProto.TYPE_MESSAGE, FieldProto.TYPE_ENUM):
        return FieldProto.Type.Name(field.type)[len("TYPE_"):].lower()
    name = field.type_name.lstrip(".")
    entry = elements.get(name)
    if entry is not None and is_map_entry(entry):
        key, value = (type_of(part, elements) for part in entry.proto.field)
        return f"map<{key}, {value}>"
    return f"{'message' if field.type == FieldProto.TYPE_MESSAGE else 'enum'} {name}"


def promises_of(field, message, elements):
    """What a field promises, by what it is called in a finding."""
    oneof = "none"
    if field.HasField("oneof_index") and not field.proto3_optional:
        oneof = message.oneof_decl[field.oneof_index].name
    return {
        "name": field.name,
        "number": field.number,
        "type": type_of(field, elements),
        "cardinality": FieldProto.Label.Name(field.label)[len("LABEL_"):].lower(),
        "presence": "explicit" if field.proto3_optional else "of its type",
        "json name": field.json_name,
        "oneof": oneof,
        "extendee": field.extendee,
    }


def changes(what, before, after):
    return [f"{what}: {key} was {before.get(key, 'unset')}, is {after.get(key, 'unset')}"
            for key in sorted({*before, *after}) if before.get(key) != after.get(key)]


def option_changes(what, before, after):
    return changes(what, *({f"option {k}": v for k, v in options_of(p).items()}
                           for p in (before, after)))


def reserved_of(proto, last_included):
    """Reserved numbers as a list of (first, last)."""
    return [(r.start, r.end if last_included else r.end - 1) for r in proto.reserved_range]


def is_reserved(number, name, proto, last_included):
    return name in proto.reserved_name and any(
        first <= number <= last for first, last in reserved_of(proto, last_included))


def uncovered(wanted, ranges):
    """The parts of `wanted` that no range has."""
    first, last = wanted
    gaps = []
    for begin, end in sorted(ranges):
        if end < first:
            continue
        if begin > last:
            break
        if begin > first:
            gaps.append((first, begin - 1))
        first = end + 1
    if first <= last:
        gaps.append((first, last))
    return gaps


def reserved_changes(what, before, after, last_included, free=()):
    findings = []
    for wanted in reserved_of(before, last_included):
        for first, last in uncovered(wanted, reserved_of(after, last_included)):
            # Ranges may go up to half a billion.
            if last - first >= len(free) or any(n not in free for n in range(first, last + 1)):
                numbers = str(first) if first == last else f"{first} to {last}"
                findings.append(f"{what}: {numbers} is not reserved any more")
    return findings + [f'{what}: the name "{name}" is not reserved any more'
                       for name in before.reserved_name if name not in after.reserved_name]


def message_changes(before, after, elements_before, elements_after, set_aside):
    what, old, new = before.name, before.proto, after.proto
    aside = set_aside.get(what, ())
    new_by_number = {f.number: f for f in new.field}
    new_by_name = {f.name: f for f in new.field}
    findings = []
    for field in old.field:
        label = f"{what}.{field.name}"
        now = new_by_name.get(field.name, new_by_number.get(field.number))
        if now is not None:
            findings += changes(label, promises_of(field, old, elements_before),
                                promises_of(now, new, elements_after))
            findings += option_changes(label, field, now)
        elif not is_reserved(field.number, field.name, new, False):
            findings.append(f"{label}: deleted; its number and its name must stay reserved")
        elif field.number in aside:
            findings.append(f"{label}: deleted; {field.number} is still in SET_ASIDE")
    # That of a field with presence is protoc's own.
    made_up = {f.oneof_index for f in old.field if f.proto3_optional}
    names = {oneof.name for oneof in new.oneof_decl}
    findings += [f"{what}.{oneof.name}: oneof deleted" for i, oneof in enumerate(old.oneof_decl)
                 if i not in made_up and oneof.name not in names]
    taken = {f.number for f in new.field} - {f.number for f in old.field}
    return findings + reserved_changes(what, old, new, False, taken & set(aside))


def enum_changes(before, after, by_name):
    what, old, new = before.name, before.proto, after.proto
    numbers = {value.name: value.number for value in new.value}
    findings = []
    for value in old.value:
        label = f"{what}.{value.name}"
        if value.name in numbers:
            findings += changes(label, {"number": value.number}, {"number": numbers[value.name]})
        elif value.number in numbers.values():
            findings.append(f"{label}: renamed")
        elif not is_reserved(value.number, value.name, new, True):
            findings.append(f"{label}: deleted; its number and its name must stay reserved")
        elif what in by_name:
            findings.append(f"{label}: deleted; configs have it by name and could not be read")
    return findings + reserved_changes(what, old, new, True)


def method_changes(before, after):
    promises = [{"request": e.proto.input_type, "response": e.proto.output_type,
                 "client streaming": e.proto.client_streaming,
                 "server streaming": e.proto.server_streaming} for e in (before, after)]
    return changes(before.name, *promises)


def file_changes(before, after):
    now = {file.name: file for file in after.file}
    findings = []
    for file in before.file:
        if file.name not in now:
            findings.append(f"{file.name}: file deleted")
            continue
        other = now[file.name]
        findings += changes(file.name, {"package": file.package, "syntax": file.syntax},
                            {"package": other.package, "syntax": other.syntax})
        findings += option_changes(file.name, file, other)
    return findings


def enums_in_text(elements):
    """Enums that files of TEXT_PACKAGES may have, wherever they are declared."""
    todo = [e for e in elements.values() if e.file.package in TEXT_PACKAGES and e.kind == "message"]
    seen = set()
    while todo:
        for field in todo.pop().proto.field:
            name = field.type_name.lstrip(".")
            if name in elements and name not in seen:
                seen.add(name)
                if elements[name].kind == "message":
                    todo.append(elements[name])
    return {name for name in seen if elements[name].kind == "enum"}


def compare(before, after, set_aside=None):
    """Every promise of `before` that `after` breaks."""
    set_aside = SET_ASIDE if set_aside is None else set_aside
    old, new = elements_of(before), elements_of(after)
    by_name = enums_in_text(old)
    findings = file_changes(before, after)
    for name, element in old.items():
        # Those show in the type of the field.
        if is_map_entry(element):
            continue
        now = new.get(name)
        if now is None or now.kind != element.kind:
            findings.append(f"{name}: {element.kind} deleted")
            continue
        findings += changes(name, {"file": element.file.name}, {"file": now.file.name})
        findings += option_changes(name, element.proto, now.proto)
        if element.kind == "message":
            findings += message_changes(element, now, old, new, set_aside)
        elif element.kind == "enum":
            findings += enum_changes(element, now, by_name)
        elif element.kind == "method":
            findings += method_changes(element, now)
        elif element.kind == "extension":
            findings += changes(name, promises_of(element.proto, None, old),
                                promises_of(now.proto, None, new))
    return findings


def names_in(files):
    names = set()
    for element in elements_of(files).values():
        if not is_map_entry(element):
            names.add(element.name)
            parts = {"message": "field", "enum": "value"}.get(element.kind)
            if parts is not None:
                names |= {f"{element.name}.{part.name}" for part in getattr(element.proto, parts)}
    return names


# --- lint

PASCAL = re.compile(r"([A-Z][a-z0-9]*)+")
LOWER_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
UPPER_SNAKE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")


def upper_snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()


def lint_file(file):
    path = pathlib.PurePosixPath(file.name)
    if not LOWER_SNAKE.fullmatch(path.stem):
        yield "FILE_LOWER_SNAKE_CASE", file.name, "the file's name is not lower_snake_case"
    if str(path.parent) != file.package.replace(".", "/"):
        yield "PACKAGE_DIRECTORY_MATCH", file.name, f"package {file.package} is not in its folder"
    if not re.search(r"\.v[1-9][0-9]*$", file.package):
        yield "PACKAGE_VERSION_SUFFIX", file.name, f"package {file.package} has no version"
    if file.package not in PACKAGES:
        yield "PACKAGE_KEPT", file.name, f"nothing keeps package {file.package}: see PACKAGES"
    if file.syntax != "proto3":
        yield "SYNTAX_PROTO3", file.name, "the syntax is not proto3"
    if file.public_dependency or file.weak_dependency:
        yield "IMPORT_PLAIN", file.name, "an import is public or weak"


def lint_message(element):
    if not PASCAL.fullmatch(element.proto.name):
        yield "MESSAGE_PASCAL_CASE", element.name, "not PascalCase"
    made_up = {f.oneof_index for f in element.proto.field if f.proto3_optional}
    oneofs = [o for i, o in enumerate(element.proto.oneof_decl) if i not in made_up]
    for rule, parts in (("FIELD_LOWER_SNAKE_CASE", element.proto.field),
                        ("ONEOF_LOWER_SNAKE_CASE", oneofs)):
        for part in parts:
            if not LOWER_SNAKE.fullmatch(part.name):
                yield rule, f"{element.name}.{part.name}", "not lower_snake_case"


def lint_enum(element):
    prefix = upper_snake(element.proto.name) + "_"
    if not PASCAL.fullmatch(element.proto.name):
        yield "ENUM_PASCAL_CASE", element.name, "not PascalCase"
    if element.proto.options.allow_alias:
        yield "ENUM_NO_ALLOW_ALIAS", element.name, "two names for one number"
    for value in element.proto.value:
        name = f"{element.name}.{value.name}"
        if not UPPER_SNAKE.fullmatch(value.name):
            yield "ENUM_VALUE_UPPER_SNAKE_CASE", name, "not UPPER_SNAKE_CASE"
        if not value.name.startswith(prefix):
            yield "ENUM_VALUE_PREFIX", name, f"does not begin with {prefix}"
        if value.number == 0 and value.name != f"{prefix}UNSPECIFIED":
            yield "ENUM_ZERO_VALUE_SUFFIX", name, f"0 is not {prefix}UNSPECIFIED"


def lint_service(element):
    if not PASCAL.fullmatch(element.proto.name):
        yield "SERVICE_PASCAL_CASE", element.name, "not PascalCase"
    if not element.proto.name.endswith("Service"):
        yield "SERVICE_SUFFIX", element.name, "does not end in Service"


def lint_method(element, comment, access):
    method = element.proto
    if not PASCAL.fullmatch(method.name):
        yield "RPC_PASCAL_CASE", element.name, "not PascalCase"
    for rule, used, suffix in (("RPC_REQUEST_STANDARD_NAME", method.input_type, "Request"),
                               ("RPC_RESPONSE_STANDARD_NAME", method.output_type, "Response")):
        # That it is so for all makes them unique.
        if used != f".{element.file.package}.{method.name}{suffix}":
            yield rule, element.name, f"{used.lstrip('.')} is not its own {method.name}{suffix}"
    if element.file.package not in ACCESS_PACKAGES:
        return
    rule = method.options.Extensions[access]
    if not rule.permission or not rule.scope:
        yield "METHOD_ACCESS", element.name, "does not say who may call it: option (access)"
    told = all(code in comment for code in ("UNAUTHENTICATED", "PERMISSION_DENIED"))
    if not told and not re.search(r"Errors: as [A-Z]\w+\.", comment):
        yield "METHOD_ERRORS", element.name, "its errors lack UNAUTHENTICATED or PERMISSION_DENIED"


def method_comments(files):
    comments = {}
    for file in files.file:
        for location in file.source_code_info.location:
            path = location.path
            # `service` is field 6 of a file, `method` field 2 of a service.
            if len(path) == 4 and path[0] == 6 and path[2] == 2:
                service = file.service[path[1]]
                name = f"{file.package}.{service.name}.{service.method[path[3]].name}"
                comments[name] = location.leading_comments
    return comments


def lint_all(files, access):
    for file in files.file:
        yield from lint_file(file)
    comments = method_comments(files)
    for element in elements_of(files).values():
        if element.kind == "message" and not is_map_entry(element):
            yield from lint_message(element)
        elif element.kind == "enum":
            yield from lint_enum(element)
        elif element.kind == "service":
            yield from lint_service(element)
        elif element.kind == "method":
            yield from lint_method(element, comments.get(element.name, ""), access)


def lint(files, access, exceptions):
    findings, used = [], set()
    for rule, name, why in lint_all(files, access):
        if (rule, name) in exceptions:
            used.add((rule, name))
        else:
            findings.append(f"{name}: {why} ({rule})")
    return findings + [f"{name}: the exception from {rule} is not needed"
                       for rule, name in exceptions if (rule, name) not in used]


# --- proving that each rule can fail


def compiled_example(sources):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in sources.items():
            path = pathlib.Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return compiled(pathlib.Path(folder), (ROOT,))


def with_change(file, old, new):
    if BASE[file].count(old) < 1:
        raise ValueError(f"the example has no {old!r}")
    return {**BASE, file: BASE[file].replace(old, new, 1)}


def self_test(access):
    base = compiled_example(BASE)
    failed = []

    def check(ok, what):
        tried.append(what)
        if not ok:
            failed.append(what)

    tried = []
    for file, old, new, want in BREAKS:
        found = compare(base, compiled_example(with_change(file, old, new)))
        check(any(want in finding for finding in found), f"{want!r} on {new!r}: {found}")
    for file, old, new, want in LINTS:
        found = lint(compiled_example(with_change(file, old, new)), access, {})
        check(any(want in finding for finding in found), f"{want!r} on {new!r}: {found}")
    for file, old, new in ADDITIONS:
        # Nothing reads that enum by name here.
        found = compare(base, compiled_example(with_change(file, old, new)))
        check(not found, f"an addition, {new!r}, is a finding: {found}")
    check(not compare(base, base), "nothing changed")
    check(not lint(base, access, {}), f"a good example: {lint(base, access, {})}")

    # Whole files.
    alone = {EXAMPLE: BASE[EXAMPLE]}
    check(any("file deleted" in f for f in compare(base, compiled_example(alone))), "file deleted")
    moved = {**BASE, "planecast/v1/moved.proto": 'syntax = "proto3";\npackage planecast.v1;\n'
             "message GetThingResponse {}\n",
             EXAMPLE: BASE[EXAMPLE].replace("message GetThingResponse {}\n", "").replace(
                 "import ", 'import "planecast/v1/moved.proto";\nimport ', 1)}
    check(any("file was planecast/v1/example.proto" in f
              for f in compare(base, compiled_example(moved))), "an element moved")
    other = with_change(CONFIG, "package planecast.config.v1", "package planecast.rpc.v1")
    check(any("package was" in f for f in compare(base, compiled_example(other))), "package")
    other = with_change(CONFIG, 'syntax = "proto3"', 'syntax = "proto2"')
    # Which wants labels.
    other[CONFIG] = re.sub(r"^( +)([\w.]+ \w+ = \d)", r"\1optional \2", other[CONFIG], flags=re.M)
    other = compiled_example(other)
    check(any("syntax was" in f for f in compare(base, other)), "syntax")
    check(any("SYNTAX_PROTO3" in f for f in lint(other, access, {})), "SYNTAX_PROTO3")
    other = compiled_example({"planecast/v1/bad-name.proto": BASE[EXAMPLE]})
    check(any("FILE_LOWER_SNAKE" in f for f in lint(other, access, {})), "FILE_LOWER_SNAKE_CASE")
    extension = 'import "google/protobuf/descriptor.proto";\nextend google.protobuf.FieldOptions ' \
        "{\n  int32 mark = 56299;\n}\nmessage GetThingResponse {}"
    extended = with_change(EXAMPLE, "message GetThingResponse {}", extension)
    renumbered = {**extended, EXAMPLE: extended[EXAMPLE].replace("56299", "56298")}
    extended, renumbered = compiled_example(extended), compiled_example(renumbered)
    check(any("mark: number was" in f for f in compare(extended, renumbered)), "extension's number")
    check(any("mark: extension deleted" in f for f in compare(extended, base)), "extension deleted")

    # Numbers that are set aside.
    aside = {"planecast.v1.GetThingRequest": range(10, 13)}
    taken = with_change(EXAMPLE, "reserved 10 to", "int32 fresh = 10;\n  reserved 11 to")
    dropped = with_change(EXAMPLE, "10 to 12, 14", "11 to 12, 14")
    gone = with_change(EXAMPLE, '"old"', '"old", "fresh"')
    taken, dropped, gone = (compiled_example(c) for c in (taken, dropped, gone))
    check(not compare(base, taken, aside), "a number that is set aside can't be taken")
    check(compare(base, taken, {}), "a reserved number taken")
    check(compare(base, dropped, aside), "a number that is set aside, dropped")
    check(any("SET_ASIDE" in f for f in compare(taken, gone, aside)), "a number still set aside")
    check(not compare(taken, gone, {}), "a field reserved for good")

    # The baseline, and exceptions.
    back, _ = from_text(to_text(base))
    check(back is not None and not compare(back, base) + compare(base, back), "there and back")
    broken = with_change(EXAMPLE, "PERMISSION_WATCH,", "PERMISSION_CONTROL,")
    check(compare(back, compiled_example(broken)), "access, from text")
    check(from_text(to_text(base).replace("PERMISSION_WATCH", "PERMISSION_GONE"))[1], "unreadable")
    check(names_in(compiled_example(with_change(*ADDITIONS[0]))) - names_in(base) ==
          {"planecast.v1.GetThingRequest.more"}, "additions are told")
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = pathlib.Path(folder) / "baseline.txtpb"
        check(update(base, False, path) == 0 and path.exists(), "a first baseline")
        check(update(compiled_example(broken), False, path) == 1 and path.read_text() ==
              to_text(base), "no update that breaks something")
        check(update(compiled_example(broken), True, path) == 0 and path.read_text() ==
              to_text(compiled_example(broken)), "such an update if it is asked for")
    bad = compiled_example(with_change(EXAMPLE, "string name", "string Name"))
    known = {("FIELD_LOWER_SNAKE_CASE", "planecast.v1.GetThingRequest.Name"): "a reason"}
    check(not lint(bad, access, known), "an exception")
    check(lint(base, access, known), "an exception that is not needed")

    for what in failed:
        print(f"rule never fires, or fires wrongly: {what}")
    print(f"{len(tried) - len(failed)} of {len(tried)} rules can fail")
    return 1 if failed else 0


# --- tasks


def told(findings):
    for finding in findings:
        print(finding)
    print(f"{len(findings)} findings")
    return 1 if findings else 0


def check(files):
    before, findings = from_text(BASELINE.read_text())
    if before is not None:
        findings = compare(before, files)
        added = sorted(names_in(files) - names_in(before))
        if added:
            print(f"{len(added)} additions that nothing keeps yet, {added[0]} for one: "
                  "breaking.py --update takes them into the baseline")
    return told(findings)


def update(files, break_it, baseline=BASELINE):
    findings = []
    if baseline.exists():
        before, findings = from_text(baseline.read_text())
        if before is not None:
            findings = compare(before, files)
    status = told(findings)
    if findings and not break_it:
        print("Not updated: clients or configs that exist would break. Before a release, and never "
              "after one, --break-it writes the baseline all the same.")
        return status
    if findings:
        print("Broken: that is for the time before a release only.")
    baseline.write_text(to_text(files))
    return 0


def main():
    tasks = ("--check", "--lint", "--update", "--self-test")
    arguments = sys.argv[1:]
    break_it = arguments == ["--update", "--break-it"]
    if not break_it and (len(arguments) != 1 or arguments[0] not in tasks):
        print(__doc__)
        return 2
    access = load_access_option()
    if arguments[0] == "--self-test":
        return self_test(access)
    files = compiled(ROOT)
    if arguments[0] == "--lint":
        return told(lint(files, access, EXCEPTIONS))
    return check(files) if arguments[0] == "--check" else update(files, break_it)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        # protoc has said why.
        sys.exit(f"{error.cmd[0]} failed")
