// Internal to the client library: how Client starts a Stream.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "clients/cpp/call_metadata.h"
#include "clients/cpp/stream.h"
#include "planecast/v1/viewer_service.grpc.pb.h"

namespace planecast {

/// Turns a call's end into the status that an application sees.
using ExplainStatus = std::function<absl::Status(const grpc::Status&)>;

/// Starts to stream the display of this resource name. `handler` must outlive the stream.
std::unique_ptr<Stream> StartStream(std::shared_ptr<v1::ViewerService::StubInterface> stub,
                                    std::shared_ptr<CallMetadata> metadata, std::string name,
                                    const StreamOptions& options, ExplainStatus explain,
                                    StreamHandler& handler);

}  // namespace planecast
