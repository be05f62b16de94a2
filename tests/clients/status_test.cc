#include "clients/cpp/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace planecast {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;

std::string Explain(grpc::StatusCode code, const std::string& message, bool use_tls = false) {
  const ServerAddress server{"vmhost:7443"};
  return std::string(FromGrpc(grpc::Status(code, message), server, use_tls).message());
}

TEST(FromGrpcTest, KeepsCodeAndMessageOfAServersOwnErrors) {
  const absl::Status status =
      FromGrpc({grpc::StatusCode::FAILED_PRECONDITION, "no EDID region"}, {}, false);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(), "no EDID region");
  EXPECT_EQ(Explain(grpc::StatusCode::UNAVAILABLE, "the server drains"), "the server drains");
}

TEST(FromGrpcTest, SaysWhatToDoWhereThereIsNoServer) {
  const std::string message =
      Explain(grpc::StatusCode::UNAVAILABLE,
              "failed to connect to all addresses; last error: UNKNOWN: x: Connection refused");
  EXPECT_THAT(message, HasSubstr("no server at vmhost:7443"));
  EXPECT_THAT(message, HasSubstr("is planecastd running?"));
  EXPECT_THAT(message, HasSubstr("PLANECAST_SERVER"));
}

TEST(FromGrpcTest, TellsCertificateTroubleFromAnAbsentServer) {
  EXPECT_THAT(Explain(grpc::StatusCode::UNAVAILABLE,
                      "failed to connect to all addresses; last error: UNKNOWN: Ssl handshake "
                      "failed: SSL_ERROR_SSL: CERTIFICATE_VERIFY_FAILED",
                      /*use_tls=*/true),
              HasSubstr("--tls-ca"));
  EXPECT_THAT(Explain(grpc::StatusCode::UNAVAILABLE,
                      "failed to connect to all addresses; last error: WRONG_VERSION_NUMBER",
                      /*use_tls=*/true),
              HasSubstr("speaks plain text"));
}

TEST(FromGrpcTest, SaysMoreThanTheCode) {
  for (const char* bare : {"", "CANCELLED", "Cancelled", "Canceled"}) {
    EXPECT_EQ(Explain(grpc::StatusCode::CANCELLED, bare),
              "vmhost:7443 is shutting down or closed the connection: planecastd's log says why")
        << bare;
  }
  EXPECT_THAT(Explain(grpc::StatusCode::UNAVAILABLE, ""), HasSubstr("closed the connection"));
  for (int code = 1; code <= 16; ++code) {
    const std::string name = absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
    for (const std::string& bare : {std::string(), name}) {
      const std::string message = Explain(static_cast<grpc::StatusCode>(code), bare);
      EXPECT_THAT(message, HasSubstr("vmhost:7443 ")) << name;
      EXPECT_THAT(message, ContainsRegex("[:]")) << name;
    }
  }
}

TEST(FromGrpcTest, NamesTheTimeoutFlagWhenTimeIsUp) {
  EXPECT_THAT(Explain(grpc::StatusCode::DEADLINE_EXCEEDED, "Deadline Exceeded"),
              HasSubstr("--timeout"));
}

}  // namespace
}  // namespace planecast
