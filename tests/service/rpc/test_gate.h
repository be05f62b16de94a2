// A gate for tests that are not about who may come in.
#pragma once

#include <memory>

#include "service/rpc/grpc_gate.h"

namespace planecast::testing {

/// Takes everybody who comes by a connection without a stamp, e.g. in process, for an operator.
class TestGate {
 public:
  GrpcGate& gate() { return gate_; }

 private:
  GrpcGate gate_{{std::make_shared<AccessPolicy>(RoleSet(), std::vector<Binding>()),
                  TicketStore::Make(MonotonicClock())},
                 PeerReader({}, "operator")};
};

}  // namespace planecast::testing
