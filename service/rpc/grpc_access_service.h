// AccessService: tickets.
#pragma once

#include <grpcpp/server_builder.h>

#include <string>

#include "planecast/v1/access_service.grpc.pb.h"
#include "service/core/registry.h"
#include "service/rpc/grpc_queue.h"
#include "service/rpc/grpc_unary.h"
#include "service/rpc/wall_clock.h"

namespace planecast {

/// Translates AccessService to the ticket store. Thread-safe.
class GrpcAccessService final : public v1::AccessService::AsyncService {
 public:
  /// All of them must outlive the service.
  GrpcAccessService(Registry& registry, const WallClock& wall) : registry_(registry), wall_(wall) {}

  /// The queue must be stopped before the service is destroyed.
  void AddTo(grpc::ServerBuilder& builder, GrpcQueue& queue);

 private:
  absl::Status Create(const v1::CreateTicketRequest& request, const Caller& caller,
                      v1::CreateTicketResponse& response);
  absl::Status List(const v1::ListTicketsRequest& request, const Caller& caller,
                    v1::ListTicketsResponse& response);
  absl::Status Revoke(const v1::RevokeTicketRequest& request, const Caller& caller);
  absl::StatusOr<TicketSpec> ToSpec(const v1::CreateTicketRequest& request, const Caller& caller);
  /// PERMISSION_DENIED if the caller would give more than he has.
  absl::Status CheckGrant(const Caller& caller, const std::string& display_id,
                          const TicketSpec& spec);
  v1::Ticket ToProto(const TicketInfo& info) const;
  void Audit(AuditEvent event, const Caller& caller, const char* method, const TicketInfo& info);

  Registry& registry_;
  const WallClock& wall_;
  /// The queue's.
  GrpcGate* gate_ = nullptr;
};

}  // namespace planecast
