"""What breaking.py proves its rules on: a small contract, and changes to it."""

EXAMPLE = "planecast/v1/example.proto"
CONFIG = "planecast/config/v1/example.proto"
BASE = {
    EXAMPLE: """\
syntax = "proto3";
package planecast.v1;
import "planecast/v1/access.proto";
option cc_enable_arenas = true;
service ThingService {
  // Errors: UNAUTHENTICATED; PERMISSION_DENIED.
  rpc GetThing(GetThingRequest) returns (GetThingResponse) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (access) = {permission: PERMISSION_WATCH, scope: ACCESS_SCOPE_ANY};
  }
}
message GetThingRequest {
  string name = 1;
  int32 width_px = 2;
  optional int32 limit = 3;
  repeated int32 numbers = 4;
  map<string, string> labels = 5;
  oneof way {
    int64 here = 6;
    int64 there = 7;
  }
  Kind kind = 8;
  Inner inner = 9;
  reserved 10 to 12, 14;
  reserved "old";
  message Inner {}
  message Other {}
}
message GetThingResponse {}
enum Kind {
  KIND_UNSPECIFIED = 0;
  KIND_ONE = 1;
  KIND_TWO = 2;
  reserved 5 to 6;
  reserved "KIND_FIVE";
}
""",
    CONFIG: """\
syntax = "proto3";
package planecast.config.v1;
import "planecast/v1/example.proto";
message Config {
  Inner inner = 1;
  Mode mode = 2;
  string path = 3;
  message Inner {
    planecast.v1.Kind kind = 1;
  }
}
enum Mode {
  MODE_UNSPECIFIED = 0;
  MODE_FAST = 1;
}
""",
}

# File, text, what stands there instead, and what is found.
BREAKS = [
    (EXAMPLE, "package planecast.v1;", "package planecast.v1;\noption optimize_for = CODE_SIZE;",
     "option optimize_for was unset"),
    (EXAMPLE, "enable_arenas = true", "enable_arenas = false", "option cc_enable_arenas was True"),
    (EXAMPLE, "message GetThingResponse {}", "message GetThingResponse { option deprecated = true; "
     "option no_standard_descriptor_accessor = true; }", "option no_standard_descriptor_accessor"),
    (EXAMPLE, "  message Other {}\n", "", "GetThingRequest.Other: message deleted"),
    (EXAMPLE, "  message Other {}\n", "  enum Other { A = 0; }\n", "Other: message deleted"),
    (CONFIG, "  Mode mode = 2;", "  bool mode = 2;", "type was enum planecast.config.v1.Mode"),
    (EXAMPLE, "  string name = 1;\n", "", "GetThingRequest.name: deleted"),
    (EXAMPLE, "  string name = 1;\n", "  reserved 1;\n", "GetThingRequest.name: deleted"),
    (EXAMPLE, "  string name = 1;\n", '  reserved "name";\n', "GetThingRequest.name: deleted"),
    (EXAMPLE, "string name = 1", "string name = 15", "name: number was 1, is 15"),
    (EXAMPLE, "string name = 1", "string title = 1", "name: name was name, is title"),
    (EXAMPLE, "string name = 1", 'string name = 1 [json_name = "n"]', "json name was name, is n"),
    (EXAMPLE, "string name = 1", "bytes name = 1", "type was string, is bytes"),
    (EXAMPLE, "int32 width_px = 2", "int64 width_px = 2", "type was int32, is int64"),
    (EXAMPLE, "string name = 1", "optional string name = 1", "presence was of its type"),
    (EXAMPLE, "optional int32 limit", "int32 limit", "presence was explicit"),
    (EXAMPLE, "string name = 1", "repeated string name = 1", "cardinality was optional"),
    (EXAMPLE, "repeated int32 numbers", "int32 numbers", "cardinality was repeated"),
    (EXAMPLE, "numbers = 4", "numbers = 4 [packed = false]", "option packed was unset"),
    (EXAMPLE, "map<string, string>", "map<string, bytes>", "was map<string, string>, is map"),
    (EXAMPLE, "map<string, string> labels", "repeated Inner labels", "was map<string, string>"),
    (EXAMPLE, "  oneof way {\n    int64 here = 6;\n", "  int64 here = 6;\n  oneof way {\n",
     "here: oneof was way, is none"),
    (EXAMPLE, "  string name = 1;\n  int32 width_px = 2;", "  oneof new { string name = 1; }\n"
     "  int32 width_px = 2;", "name: oneof was none, is new"),
    (EXAMPLE, "oneof way", "oneof path", "GetThingRequest.way: oneof deleted"),
    (EXAMPLE, "Inner inner = 9", "Other inner = 9", "inner: type was message"),
    (EXAMPLE, "10 to 12, 14", "10 to 11, 14", "12 is not reserved any more"),
    (EXAMPLE, "10 to 12, 14", "10, 12, 14", "11 is not reserved any more"),
    (EXAMPLE, "10 to 12, 14", "10 to 12", "14 is not reserved any more"),
    (EXAMPLE, "reserved 10 to 12, 14;", "reserved 10 to 12;\n  int32 fresh = 14;",
     "14 is not reserved any more"),
    (EXAMPLE, '  reserved "old";\n', "", 'the name "old" is not reserved any more'),
    (EXAMPLE, "KIND_TWO = 2", "KIND_TWO = 3", "KIND_TWO: number was 2, is 3"),
    (EXAMPLE, "KIND_TWO = 2", "KIND_DOS = 2", "KIND_TWO: renamed"),
    (EXAMPLE, "  KIND_TWO = 2;\n", "", "KIND_TWO: deleted; its number"),
    (EXAMPLE, "  KIND_TWO = 2;\n", "  reserved 2;\n", "KIND_TWO: deleted; its number"),
    (EXAMPLE, "  KIND_TWO = 2;\n", '  reserved 2;\n  reserved "KIND_TWO";\n', "by name"),
    (CONFIG, "  MODE_FAST = 1;\n", '  reserved 1;\n  reserved "MODE_FAST";\n', "by name"),
    (EXAMPLE, "reserved 5 to 6", "reserved 5", "6 is not reserved any more"),
    (EXAMPLE, '  reserved "KIND_FIVE";\n', "", '"KIND_FIVE" is not reserved any more'),
    (EXAMPLE, "service ThingService", "service OtherService", "ThingService: service deleted"),
    (EXAMPLE, "rpc GetThing(", "rpc GetOther(", "ThingService.GetThing: method deleted"),
    (EXAMPLE, "GetThing(GetThingRequest)", "GetThing(GetThingResponse)", "request was"),
    (EXAMPLE, "returns (GetThingResponse)", "returns (GetThingRequest)", "response was"),
    (EXAMPLE, "GetThing(Get", "GetThing(stream Get", "client streaming was False"),
    (EXAMPLE, "returns (Get", "returns (stream Get", "server streaming was False"),
    (EXAMPLE, "NO_SIDE_EFFECTS", "IDEMPOTENT", "idempotency_level was NO_SIDE_EFFECTS, is IDEMP"),
    (EXAMPLE, "    option idempotency_level = NO_SIDE_EFFECTS;\n", "", "idempotency_level was NO"),
    (EXAMPLE, "PERMISSION_WATCH,", "PERMISSION_CONTROL,", "option access was permission: PERM"),
    (EXAMPLE, "SCOPE_ANY", "SCOPE_HOST", "option access was permission: PERM"),
    (EXAMPLE, "SCOPE_ANY", 'SCOPE_DISPLAY, display_field: "name"', "option access was"),
    (CONFIG, "  string path = 3;\n", "", "Config.path: deleted"),
    (CONFIG, "string path = 3", 'string file = 3 [json_name = "path"]', "was path, is file"),
]

# What may be done.
ADDITIONS = [
    (EXAMPLE, "  string name = 1;\n", "  string name = 1;\n  string more = 20;\n"),
    (EXAMPLE, "    int64 there = 7;\n", "    int64 there = 7;\n    int64 nowhere = 21;\n"),
    (EXAMPLE, "string name = 1", "string name = 1 [deprecated = true]"),
    (EXAMPLE, "  string name = 1;\n", '  reserved 1;\n  reserved "name";\n'),
    (EXAMPLE, "KIND_TWO = 2", "KIND_TWO = 2;\n  KIND_THREE = 3"),
    (EXAMPLE, "10 to 12, 14", "10 to 14"),
    (EXAMPLE, "message GetThingResponse {}", "message GetThingResponse {}\nmessage New {}"),
    (EXAMPLE, "service ThingService {", "service ThingService {\n  rpc More(GetThingRequest) "
     "returns (GetThingResponse);"),
]

LINTS = [
    (EXAMPLE, "message Other", "message other", "MESSAGE_PASCAL_CASE"),
    (EXAMPLE, "string name", "string Name", "FIELD_LOWER_SNAKE_CASE"),
    (EXAMPLE, "string name", "string first__name", "FIELD_LOWER_SNAKE_CASE"),
    (EXAMPLE, "oneof way", "oneof Way", "ONEOF_LOWER_SNAKE_CASE"),
    (EXAMPLE, "message Other {}", "enum other { OTHER_UNSPECIFIED = 0; }", "ENUM_PASCAL_CASE"),
    (EXAMPLE, "  KIND_ONE = 1;", "  option allow_alias = true;\n  KIND_ONE = 1;\n  KIND_UNO = 1;",
     "ENUM_NO_ALLOW_ALIAS"),
    (EXAMPLE, "KIND_ONE", "KIND_One", "ENUM_VALUE_UPPER_SNAKE_CASE"),
    (EXAMPLE, "KIND_ONE", "ONE", "ENUM_VALUE_PREFIX"),
    (EXAMPLE, "KIND_UNSPECIFIED", "KIND_NONE", "ENUM_ZERO_VALUE_SUFFIX"),
    (EXAMPLE, "service ThingService", "service thingService", "SERVICE_PASCAL_CASE"),
    (EXAMPLE, "service ThingService", "service Things", "SERVICE_SUFFIX"),
    (EXAMPLE, "rpc GetThing(", "rpc get_thing(", "RPC_PASCAL_CASE"),
    (EXAMPLE, "GetThing(GetThingRequest)", "GetThing(GetThingResponse)", "RPC_REQUEST_STANDARD"),
    (EXAMPLE, "returns (GetThingResponse)", "returns (GetThingRequest)", "RPC_RESPONSE_STANDARD"),
    (EXAMPLE, "permission: PERMISSION_WATCH, ", "", "METHOD_ACCESS"),
    (EXAMPLE, ", scope: ACCESS_SCOPE_ANY", "", "METHOD_ACCESS"),
    (EXAMPLE, "UNAUTHENTICATED; ", "", "METHOD_ERRORS"),
    (EXAMPLE, "PERMISSION_DENIED", "others", "METHOD_ERRORS"),
    (CONFIG, "import ", "import public ", "IMPORT_PLAIN"),
    (CONFIG, "package planecast.config.v1;", "package planecast.config;", "PACKAGE_VERSION_SUFFIX"),
    (CONFIG, "package planecast.config.v1;", "package planecast.other.v1;", "PACKAGE_KEPT"),
    (CONFIG, "package planecast.config.v1;", "package planecast.v1;", "PACKAGE_DIRECTORY_MATCH"),
]
