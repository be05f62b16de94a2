#include "service/rpc/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "planecast/rpc/v1/status.pb.h"
#include "planecast/v1/errors.pb.h"
#include "service/core/reason.h"

namespace planecast {
namespace {

using ::testing::SizeIs;

/// The reason in the details; empty without any.
std::string ReasonIn(const grpc::Status& status) {
  rpc::v1::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  if (details.details().empty()) return "";
  EXPECT_EQ(details.code(), static_cast<int>(status.error_code()));
  EXPECT_EQ(details.message(), status.error_message());
  EXPECT_THAT(details.details(), SizeIs(1));
  EXPECT_EQ(details.details(0).type_url(), "type.googleapis.com/google.rpc.ErrorInfo");
  rpc::v1::ErrorInfo info;
  EXPECT_TRUE(info.ParseFromString(details.details(0).value()));
  EXPECT_EQ(info.domain(), "planecast");
  return info.reason();
}

TEST(StatusTest, OkSaysNothing) {
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
  EXPECT_EQ(ToGrpc(absl::OkStatus()).error_details(), "");
}

TEST(StatusTest, AReasonTravelsInTheDetails) {
  const grpc::Status status =
      ToGrpc(WithReason(absl::NotFoundError("no display a"), "DISPLAY_NOT_FOUND"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "no display a");
  EXPECT_EQ(ReasonIn(status), "DISPLAY_NOT_FOUND");
}

TEST(StatusTest, WithoutOneTheCodesUsualReasonDoes) {
  const std::vector<std::pair<absl::StatusCode, std::string>> usual = {
      {absl::StatusCode::kInvalidArgument, "FIELD_INVALID"},
      {absl::StatusCode::kOutOfRange, "FIELD_INVALID"},
      {absl::StatusCode::kNotFound, "DEVICE_NOT_FOUND"},
      {absl::StatusCode::kPermissionDenied, "DEVICE_FORBIDDEN"},
      {absl::StatusCode::kFailedPrecondition, "DEVICE_UNSUITABLE"},
      {absl::StatusCode::kResourceExhausted, "LIMIT_REACHED"},
      {absl::StatusCode::kUnimplemented, "NOT_BUILT"},
      {absl::StatusCode::kUnavailable, "TRY_AGAIN"},
      {absl::StatusCode::kDeadlineExceeded, "TRY_AGAIN"},
      {absl::StatusCode::kAborted, "TRY_AGAIN"},
      {absl::StatusCode::kInternal, "SERVER_FAULT"},
      {absl::StatusCode::kUnknown, "SERVER_FAULT"},
      {absl::StatusCode::kDataLoss, "SERVER_FAULT"},
      // Here the code says all there is.
      {absl::StatusCode::kCancelled, ""},
      {absl::StatusCode::kUnauthenticated, ""},
  };
  for (const auto& [code, reason] : usual) {
    const grpc::Status status = ToGrpc(absl::Status(code, "why"));
    EXPECT_EQ(static_cast<int>(status.error_code()), static_cast<int>(code));
    EXPECT_EQ(ReasonIn(status), reason) << absl::StatusCodeToString(code);
  }
}

TEST(StatusTest, WhatIsNotBuiltSaysSo) {
  const grpc::Status status = ToGrpc(NotBuilt("time travel"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(status.error_message(), "time travel is declared, and not built yet");
  EXPECT_EQ(ReasonIn(status), "NOT_BUILT");
}

/// The text between the bracket at `at` and the one that closes it.
std::string InBrackets(const std::string& text, size_t at) {
  int depth = 0;
  bool quoted = false;
  size_t end = at;
  for (; end < text.size(); ++end) {
    const char c = text[end];
    if (c == '"' && text[end - 1] != '\\') quoted = !quoted;
    if (quoted) continue;
    if (c == '(') ++depth;
    if (c == ')' && --depth == 0) break;
  }
  return text.substr(at, end - at);
}

/// The last word in capitals that is quoted; empty without one.
std::string LastReason(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '"');
  std::string last;
  for (size_t i = 1; i < parts.size(); i += 2) {
    const bool capitals =
        parts[i].find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == std::string::npos;
    if (capitals && !parts[i].empty()) last = parts[i];
  }
  return last;
}

/// All reasons that the source tree's service/ gives.
std::multiset<std::string> ReasonsInSource() {
  std::multiset<std::string> reasons;
  const auto root = std::filesystem::path(PLANECAST_EXAMPLE_CONFIG).parent_path().parent_path();
  for (const auto& file : std::filesystem::recursive_directory_iterator(root / "service")) {
    if (file.path().extension() != ".cc") continue;
    std::ifstream in(file.path());
    const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    const std::string call = "WithReason(";
    for (size_t at = 0; (at = text.find(call, at)) != std::string::npos; at += call.size()) {
      const std::string reason = LastReason(InBrackets(text, at + call.size() - 1));
      EXPECT_NE(reason, "") << file.path() << ": a reason that is no literal is not checked";
      reasons.insert(reason);
    }
    if (file.path().filename() != "status.cc") continue;
    for (const std::string& line : std::vector<std::string>(absl::StrSplit(text, '\n'))) {
      const std::string reason = absl::StrContains(line, "return \"") ? LastReason(line) : "";
      if (!reason.empty()) reasons.insert(reason);
    }
  }
  return reasons;
}

TEST(StatusTest, EachReasonInTheSourceIsOneOfTheProtos) {
  std::set<std::string> known;
  const auto& values = *v1::ErrorReason_descriptor();
  for (int i = 0; i < values.value_count(); ++i) {
    const std::string prefix = "ERROR_REASON_";
    const std::string& name = values.value(i)->name();
    ASSERT_TRUE(absl::StartsWith(name, prefix)) << name;
    known.insert(name.substr(prefix.size()));
  }
  const std::multiset<std::string> given = ReasonsInSource();
  EXPECT_GT(given.size(), 20U) << "the source was not read as it should be";
  // And nothing is declared that nobody gives.
  known.erase("UNSPECIFIED");
  EXPECT_EQ(std::set<std::string>(given.begin(), given.end()), known);
}

}  // namespace
}  // namespace planecast
