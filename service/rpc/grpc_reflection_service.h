// grpc.reflection.v1alpha.ServerReflection.
//
// gRPC brings one along, on its callback API; see GrpcQueue for what that costs every stream.
#pragma once

#include <google/protobuf/descriptor.h>
#include <grpcpp/server_builder.h>

#include <set>
#include <string>
#include <vector>

#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "service/rpc/grpc_queue.h"

namespace planecast {

/// Answers the questions of one reflection call, from the protos that are linked in.
/// Thread-compatible.
class ReflectionAnswers {
 public:
  explicit ReflectionAnswers(std::vector<std::string> services) : services_(std::move(services)) {}

  grpc::reflection::v1alpha::ServerReflectionResponse Answer(
      const grpc::reflection::v1alpha::ServerReflectionRequest& request);

 private:
  void AddFile(const google::protobuf::FileDescriptor* file,
               grpc::reflection::v1alpha::ServerReflectionResponse& response);
  void AddFileAndImports(const google::protobuf::FileDescriptor& file,
                         grpc::reflection::v1alpha::FileDescriptorResponse& files);

  const std::vector<std::string> services_;
  /// Files that this call was sent already.
  std::set<const google::protobuf::FileDescriptor*> sent_;
};

/// Serves reflection of the server's services.
class GrpcReflectionService final
    : public grpc::reflection::v1alpha::ServerReflection::AsyncService {
 public:
  /// `services` are full names.
  explicit GrpcReflectionService(std::vector<std::string> services)
      : services_(std::move(services)) {}

  /// The queue must be stopped before the service is destroyed.
  void AddTo(grpc::ServerBuilder& builder, GrpcQueue& queue);

 private:
  class Call;

  const std::vector<std::string> services_;
};

}  // namespace planecast
