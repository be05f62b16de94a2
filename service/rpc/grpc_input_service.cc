#include "service/rpc/grpc_input_service.h"

#include "absl/strings/str_cat.h"
#include "service/rpc/grpc_unary.h"
#include "service/rpc/status.h"

namespace planecast {

void GrpcInputService::AddTo(grpc::ServerBuilder& builder, GrpcQueue& queue) {
  using Self = GrpcInputService;
  builder.RegisterService(this);
  const auto add = [&](const char* name, auto request) {
    AddUnary(queue, absl::StrCat("planecast.v1.InputService.", name), HandlerThread::kQueue, this,
             request, [](const auto& exchange) { exchange->Finish(NotBuilt("input")); });
  };
  add("SendInput", &Self::RequestSendInput);
  add("AcquireControl", &Self::RequestAcquireControl);
  add("ReleaseControl", &Self::RequestReleaseControl);
  add("RequestControl", &Self::RequestRequestControl);
  add("StealControl", &Self::RequestStealControl);
}

}  // namespace planecast
