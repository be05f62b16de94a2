#include "service/rpc/grpc_reflection_service.h"

#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/support/async_stream.h>

#include <memory>
#include <utility>

#include "service/rpc/grpc_call.h"

namespace planecast {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using grpc::reflection::v1alpha::ExtensionRequest;
using grpc::reflection::v1alpha::FileDescriptorResponse;
using grpc::reflection::v1alpha::ServerReflectionRequest;
using grpc::reflection::v1alpha::ServerReflectionResponse;

void SetError(grpc::StatusCode code, const std::string& message,
              ServerReflectionResponse& response) {
  response.mutable_error_response()->set_error_code(code);
  response.mutable_error_response()->set_error_message(message);
}

const FileDescriptor* FileOfExtension(const ExtensionRequest& request) {
  const DescriptorPool& pool = *DescriptorPool::generated_pool();
  const auto* type = pool.FindMessageTypeByName(request.containing_type());
  if (type == nullptr) return nullptr;
  const FieldDescriptor* field = pool.FindExtensionByNumber(type, request.extension_number());
  return field == nullptr ? nullptr : field->file();
}

void AddExtensionNumbers(const std::string& name, ServerReflectionResponse& response) {
  const DescriptorPool& pool = *DescriptorPool::generated_pool();
  const auto* type = pool.FindMessageTypeByName(name);
  if (type == nullptr) {
    return SetError(grpc::StatusCode::NOT_FOUND, "there is no message " + name, response);
  }
  std::vector<const FieldDescriptor*> extensions;
  pool.FindAllExtensions(type, &extensions);
  auto& numbers = *response.mutable_all_extension_numbers_response();
  numbers.set_base_type_name(name);
  for (const FieldDescriptor* extension : extensions) {
    numbers.add_extension_number(extension->number());
  }
}

}  // namespace

ServerReflectionResponse ReflectionAnswers::Answer(const ServerReflectionRequest& request) {
  const DescriptorPool& pool = *DescriptorPool::generated_pool();
  ServerReflectionResponse response;
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  switch (request.message_request_case()) {
    case ServerReflectionRequest::kFileByFilename:
      AddFile(pool.FindFileByName(request.file_by_filename()), response);
      break;
    case ServerReflectionRequest::kFileContainingSymbol:
      AddFile(pool.FindFileContainingSymbol(request.file_containing_symbol()), response);
      break;
    case ServerReflectionRequest::kFileContainingExtension:
      AddFile(FileOfExtension(request.file_containing_extension()), response);
      break;
    case ServerReflectionRequest::kAllExtensionNumbersOfType:
      AddExtensionNumbers(request.all_extension_numbers_of_type(), response);
      break;
    case ServerReflectionRequest::kListServices:
      for (const std::string& service : services_) {
        response.mutable_list_services_response()->add_service()->set_name(service);
      }
      break;
    case ServerReflectionRequest::MESSAGE_REQUEST_NOT_SET:
      SetError(grpc::StatusCode::INVALID_ARGUMENT, "the request asks for nothing", response);
      break;
  }
  return response;
}

void ReflectionAnswers::AddFile(const FileDescriptor* file, ServerReflectionResponse& response) {
  if (file == nullptr) {
    return SetError(grpc::StatusCode::NOT_FOUND, "no file has that", response);
  }
  FileDescriptorResponse& files = *response.mutable_file_descriptor_response();
  // What is asked for twice is answered twice.
  sent_.erase(file);
  AddFileAndImports(*file, files);
}

void ReflectionAnswers::AddFileAndImports(const FileDescriptor& file,
                                          FileDescriptorResponse& files) {
  if (!sent_.insert(&file).second) return;
  google::protobuf::FileDescriptorProto proto;
  file.CopyTo(&proto);
  files.add_file_descriptor_proto(proto.SerializeAsString());
  for (int i = 0; i < file.dependency_count(); ++i) AddFileAndImports(*file.dependency(i), files);
}

/// Reads a question, writes its answer, and so on until the client sends no more.
class GrpcReflectionService::Call final : public GrpcCall {
 public:
  Call(GrpcQueue& queue, uint64_t id, GrpcReflectionService& service)
      : GrpcCall(queue, id),
        service_(service),
        stream_(&grpc_context()),
        answers_(service.services_) {}

  void HandleDrain() override {
    if (accepted()) End(absl::UnavailableError("the server is shutting down"));
  }

 protected:
  void StartAccept() override {
    service_.RequestServerReflectionInfo(&grpc_context(), &stream_, queue().queue(),
                                         queue().queue(), TagOf(Op::kAccepted));
  }
  void StartRead() override { stream_.Read(&request_, TagOf(Op::kRead)); }
  void StartFinish(const grpc::Status& status) override {
    stream_.Finish(status, TagOf(Op::kFinished));
  }
  void HandleAccepted() override { Read(); }
  void HandleRead(bool ok) override {
    if (!ok) return End(absl::OkStatus());
    if (!CanWrite()) return;
    NoteWrite();
    stream_.Write(answers_.Answer(request_), TagOf(Op::kWritten));
  }
  void HandleWritten(bool ok) override {
    if (ok) Read();
  }

 private:
  GrpcReflectionService& service_;
  ServerReflectionRequest request_;
  grpc::ServerAsyncReaderWriter<ServerReflectionResponse, ServerReflectionRequest> stream_;
  ReflectionAnswers answers_;
};

void GrpcReflectionService::AddTo(grpc::ServerBuilder& builder, GrpcQueue& queue) {
  builder.RegisterService(this);
  queue.Add("grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo",
            [this](GrpcQueue& q, uint64_t id) { return std::make_unique<Call>(q, id, *this); });
}

}  // namespace planecast
