#include "service/rpc/grpc_reflection_service.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include "planecast/v1/viewer_service.pb.h"

namespace planecast {
namespace {

using grpc::reflection::v1alpha::ServerReflectionRequest;
using grpc::reflection::v1alpha::ServerReflectionResponse;
using ::testing::Contains;
using ::testing::ElementsAre;

std::vector<std::string> FileNames(const ServerReflectionResponse& response) {
  std::vector<std::string> names;
  for (const std::string& bytes : response.file_descriptor_response().file_descriptor_proto()) {
    google::protobuf::FileDescriptorProto file;
    EXPECT_TRUE(file.ParseFromString(bytes));
    names.push_back(file.name());
  }
  return names;
}

ServerReflectionRequest FileOf(const std::string& symbol) {
  ServerReflectionRequest request;
  request.set_file_containing_symbol(symbol);
  return request;
}

class ReflectionAnswersTest : public ::testing::Test {
 protected:
  ReflectionAnswersTest() { v1::StreamEvent::descriptor(); }

  ReflectionAnswers answers_{{"planecast.v1.ViewerService"}};
};

TEST_F(ReflectionAnswersTest, AFileComesWithItsImportsOnce) {
  const auto first = FileNames(answers_.Answer(FileOf("planecast.v1.ViewerService.StreamDisplay")));
  EXPECT_THAT(first, Contains("planecast/v1/viewer_service.proto"));
  EXPECT_THAT(first, Contains("planecast/v1/display.proto"));
  EXPECT_THAT(first, Contains("google/protobuf/timestamp.proto"));
  const auto again = FileNames(answers_.Answer(FileOf("planecast.v1.StreamEvent")));
  EXPECT_THAT(again, ElementsAre("planecast/v1/viewer_service.proto"));
}

TEST_F(ReflectionAnswersTest, AFileIsFoundByItsName) {
  ServerReflectionRequest request;
  request.set_file_by_filename("planecast/v1/display.proto");
  const ServerReflectionResponse response = answers_.Answer(request);
  EXPECT_THAT(FileNames(response), Contains("planecast/v1/display.proto"));
  EXPECT_EQ(response.original_request().file_by_filename(), "planecast/v1/display.proto");
}

TEST_F(ReflectionAnswersTest, OnlyTheServersServicesAreListed) {
  ServerReflectionRequest request;
  request.set_list_services("");
  const ServerReflectionResponse response = answers_.Answer(request);
  ASSERT_EQ(response.list_services_response().service_size(), 1);
  EXPECT_EQ(response.list_services_response().service(0).name(), "planecast.v1.ViewerService");
}

TEST_F(ReflectionAnswersTest, WhatThereIsNotIsNotFound) {
  ServerReflectionRequest extension;
  extension.mutable_file_containing_extension()->set_containing_type("planecast.v1.StreamEvent");
  extension.mutable_file_containing_extension()->set_extension_number(1000);
  ServerReflectionRequest numbers;
  numbers.set_all_extension_numbers_of_type("planecast.v1.Nothing");
  for (const ServerReflectionRequest& request :
       {FileOf("planecast.v1.Nothing"), FileOf(""), extension, numbers}) {
    EXPECT_EQ(answers_.Answer(request).error_response().error_code(), grpc::StatusCode::NOT_FOUND)
        << request.ShortDebugString();
  }
}

TEST_F(ReflectionAnswersTest, ExtensionsAreListedByNumber) {
  ServerReflectionRequest request;
  request.set_all_extension_numbers_of_type("google.protobuf.FieldOptions");
  const ServerReflectionResponse response = answers_.Answer(request);
  EXPECT_EQ(response.all_extension_numbers_response().base_type_name(),
            "google.protobuf.FieldOptions");
}

TEST_F(ReflectionAnswersTest, AQuestionWithoutOneIsAnError) {
  EXPECT_EQ(answers_.Answer({}).error_response().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

}  // namespace
}  // namespace planecast
