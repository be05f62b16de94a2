// A gate for tests that are not about who may come in.
#pragma once

#include <memory>

#include "service/rpc/grpc_gate.h"

namespace planecast::testing {

/// Takes everybody who comes by a connection without a stamp, e.g. in process, for an operator. It
/// knows one listener, in plain text and without a role.
class TestGate {
 public:
  GrpcGate& gate() { return gate_; }

 private:
  GrpcGate gate_{{std::make_shared<AccessPolicy>(RoleSet(), std::vector<Binding>()),
                  TicketStore::Make(MonotonicClock())},
                 PeerReader({ListenerFacts()}, "operator")};
};

}  // namespace planecast::testing
