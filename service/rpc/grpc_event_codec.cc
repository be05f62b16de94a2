#include "service/rpc/grpc_event_codec.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/slice.h>

#include <array>
#include <utility>

#include "service/rpc/proto_convert.h"

namespace planecast {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;

/// Appends the tag and length of a length-delimited field.
void AppendFieldHeader(int field_number, size_t size_bytes, std::string& out) {
  std::array<uint8_t, 16> buffer{};
  uint8_t* end = CodedOutputStream::WriteTagToArray(
      WireFormatLite::MakeTag(field_number, WireFormatLite::WIRETYPE_LENGTH_DELIMITED),
      buffer.data());
  end = CodedOutputStream::WriteVarint64ToArray(size_bytes, end);
  out.append(reinterpret_cast<const char*>(buffer.data()),
             static_cast<size_t>(end - buffer.data()));
}

/// A slice into the unit's own bytes; its last reference frees the unit's.
grpc::Slice SharedSlice(const std::shared_ptr<const AccessUnit>& unit) {
  using Holder = std::shared_ptr<const AccessUnit>;
  auto holder = std::make_unique<Holder>(unit);
  // gRPC's slices are of mutable type, but it never writes to what it sends.
  auto* bytes = const_cast<uint8_t*>(unit->bytes.data());
  return {bytes, unit->bytes.size(),
          [](void* data) { std::unique_ptr<Holder>(static_cast<Holder*>(data)).reset(); },
          holder.release()};
}

/// Everything of the message up to the unit's bytes. Nested lengths come first on the wire, so this
/// is put together from the inside out.
std::string UnitHeader(const v1::AccessUnit& unit, size_t data_bytes) {
  std::string inner = unit.SerializeAsString();
  AppendFieldHeader(v1::AccessUnit::kDataFieldNumber, data_bytes, inner);
  std::string event;
  AppendFieldHeader(v1::StreamEvent::kAccessUnitFieldNumber, inner.size() + data_bytes, event);
  event += inner;
  std::string message;
  AppendFieldHeader(v1::StreamDisplayResponse::kEventFieldNumber, event.size() + data_bytes,
                    message);
  return message + event;
}

grpc::ByteBuffer UnitMessage(const v1::AccessUnit& header,
                             const std::shared_ptr<const AccessUnit>& unit) {
  const std::array<grpc::Slice, 2> slices = {grpc::Slice(UnitHeader(header, unit->bytes.size())),
                                             SharedSlice(unit)};
  return {slices.data(), slices.size()};
}

grpc::ByteBuffer Serialize(v1::StreamEvent event) {
  v1::StreamDisplayResponse response;
  *response.mutable_event() = std::move(event);
  const grpc::Slice slice(response.SerializeAsString());
  return {&slice, 1};
}

}  // namespace

std::shared_ptr<const void> GrpcEventCodec::Encode(const StreamEvent& event) {
  const auto* unit = std::get_if<UnitEvent>(&event.body);
  if (unit == nullptr) {
    return std::make_shared<const grpc::ByteBuffer>(Serialize(ToProto(event, wall_)));
  }
  const v1::StreamEvent proto = ToProto(event, wall_);
  return std::make_shared<const grpc::ByteBuffer>(UnitMessage(proto.access_unit(), unit->unit));
}

grpc::ByteBuffer GrpcEventCodec::Message(const StreamEvent& event, const v1::StreamStarted& started,
                                         uint64_t sequence_offset) const {
  const auto* unit = std::get_if<UnitEvent>(&event.body);
  if (unit != nullptr && sequence_offset != 0) {
    v1::StreamEvent proto = ToProto(event, wall_);
    proto.mutable_access_unit()->set_sequence(unit->sequence + sequence_offset);
    return UnitMessage(proto.access_unit(), unit->unit);
  }
  if (event.encoded != nullptr) return *static_cast<const grpc::ByteBuffer*>(event.encoded.get());
  v1::StreamEvent proto = ToProto(event, wall_);
  if (proto.has_started()) {
    proto.mutable_started()->MergeFrom(started);
    proto.mutable_started()->set_server_monotonic_time_ns(wall_.monotonic().NowNs());
    *proto.mutable_started()->mutable_server_time() = WallNow();
  }
  return Serialize(std::move(proto));
}

}  // namespace planecast
