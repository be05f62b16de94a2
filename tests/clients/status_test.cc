#include "clients/cpp/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/clients/mock_server.h"

namespace planecast {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

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

TEST(FromGrpcTest, KeepsTheReasonAndItsDetails) {
  rpc::v1::ErrorInfo info;
  info.set_domain("planecast");
  info.set_reason("DISPLAY_NOT_FOUND");
  (*info.mutable_metadata())["display"] = "displays/desk";
  rpc::v1::Status details;
  details.add_details()->set_type_url("type.googleapis.com/example.Other");
  google::protobuf::Any& detail = *details.add_details();
  detail.set_type_url("type.googleapis.com/google.rpc.ErrorInfo");
  detail.set_value(info.SerializeAsString());
  const absl::Status status = FromGrpc(
      {grpc::StatusCode::NOT_FOUND, "no such display", details.SerializeAsString()}, {}, false);
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_EQ(status.message(), "no such display");
  EXPECT_EQ(ReasonOf(status), v1::ERROR_REASON_DISPLAY_NOT_FOUND);
  EXPECT_EQ(ReasonDetail(status, "display"), "displays/desk");
  EXPECT_EQ(ReasonDetail(status, "other"), "");
}

TEST(FromGrpcTest, HasNoReasonWhereTheServerTellsNone) {
  const auto reason_of = [](const std::string& domain, const std::string& reason) {
    rpc::v1::ErrorInfo info;
    info.set_domain(domain);
    info.set_reason(reason);
    rpc::v1::Status details;
    details.add_details()->set_type_url("type.googleapis.com/google.rpc.ErrorInfo");
    details.mutable_details(0)->set_value(info.SerializeAsString());
    return ReasonOf(
        FromGrpc({grpc::StatusCode::INTERNAL, "x", details.SerializeAsString()}, {}, false));
  };
  EXPECT_EQ(reason_of("planecast", "DRAINING"), v1::ERROR_REASON_DRAINING);
  EXPECT_EQ(reason_of("example.com", "DRAINING"), v1::ERROR_REASON_UNSPECIFIED);
  EXPECT_EQ(reason_of("planecast", "OF_NEXT_YEAR"), v1::ERROR_REASON_UNSPECIFIED);
  EXPECT_EQ(ReasonOf(FromGrpc({grpc::StatusCode::INTERNAL, "x", "\xff\xff"}, {}, false)),
            v1::ERROR_REASON_UNSPECIFIED);
  EXPECT_EQ(ReasonOf(absl::OkStatus()), v1::ERROR_REASON_UNSPECIFIED);
}

TEST(FromGrpcTest, TakesTheServersWordsForItsOwnWhateverTheySay) {
  // Without a reason this would be taken for gRPC's own trouble.
  const grpc::Status status = MakeError(grpc::StatusCode::UNAVAILABLE, "connection refused by rule",
                                        v1::ERROR_REASON_DRAINING);
  EXPECT_EQ(FromGrpc(status, {"vmhost:7443"}, false).message(), "connection refused by rule");
}

TEST(FromGrpcTest, SaysWhatToDoWhereTheCallersRightIsAtFault) {
  const auto explain = [](v1::ErrorReason reason) {
    const absl::Status status = FromGrpc(
        MakeError(grpc::StatusCode::PERMISSION_DENIED, "no", reason), {"vmhost:7443"}, false);
    EXPECT_EQ(ReasonOf(status), reason);
    return std::string(status.message());
  };
  EXPECT_THAT(explain(v1::ERROR_REASON_CREDENTIALS_MISSING),
              AllOf(HasSubstr("vmhost:7443 lets nobody in without a ticket or a certificate"),
                    HasSubstr("'planecast ticket NAME'"), HasSubstr("--ticket")));
  EXPECT_THAT(explain(v1::ERROR_REASON_TICKET_INVALID), HasSubstr("get a new one"));
  EXPECT_THAT(explain(v1::ERROR_REASON_TICKET_ON_PLAIN_TEXT), HasSubstr("planecast revoke"));
  EXPECT_THAT(explain(v1::ERROR_REASON_TOO_MANY_TRIES), HasSubstr("later"));
  EXPECT_THAT(explain(v1::ERROR_REASON_PERMISSION_MISSING), HasSubstr("no; ask an operator"));
  EXPECT_THAT(explain(v1::ERROR_REASON_TICKET_WITHOUT_STREAM), HasSubstr("stream"));
  EXPECT_THAT(explain(v1::ERROR_REASON_GRANT_EXCEEDS_OWN), HasSubstr("--session-max"));
  EXPECT_EQ(explain(v1::ERROR_REASON_DEVICE_FORBIDDEN), "no");
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

TEST(FromGrpcTest, AServerThatHangsUpAtOnceIsThereAndRefusesThisAddress) {
  for (const bool use_tls : {false, true}) {
    const std::string message = Explain(
        grpc::StatusCode::UNAVAILABLE,
        "failed to connect to all addresses; last error: UNAVAILABLE: x: Socket closed", use_tls);
    EXPECT_THAT(message, HasSubstr("refuses this address for now"));
    EXPECT_THAT(message, Not(HasSubstr("no server")));
    EXPECT_EQ(message.find("--tls") != std::string::npos, !use_tls);
  }
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
