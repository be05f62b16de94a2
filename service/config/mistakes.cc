#include "service/config/mistakes.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace planecast {
namespace {

/// More mistakes than this are not listed.
constexpr size_t kMistakesMax = 20;

}  // namespace

void Mistakes::AddError(int line, int column, const std::string& message) {
  if (lines_.size() >= kMistakesMax) return;
  if (line < 0) {
    lines_.push_back(absl::StrCat(file_name_, ": ", message));
  } else {
    lines_.push_back(absl::StrCat(file_name_, ":", line + 1, ":", column + 1, ": ", message));
  }
}

absl::Status Mistakes::status() const {
  if (lines_.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrJoin(lines_, "\n"));
}

Node Node::Child(const char* field, const google::protobuf::Message& message, int index) const {
  const auto* descriptor = Field(field);
  Tree* tree = tree_ == nullptr ? nullptr : tree_->GetTreeForNested(descriptor, index);
  const Place place = tree_ == nullptr ? Place() : tree_->GetLocation(descriptor, index);
  return {mistakes_, message, tree, absl::StrCat(PathOf(field, index), "."), place};
}

void Node::Add(const char* field, absl::string_view problem, int index) const {
  Place place;
  const auto* descriptor = Field(field);
  // A complaint about a repeated field as a whole stands at its first element.
  const int place_index = descriptor->is_repeated() ? std::max(index, 0) : -1;
  if (tree_ != nullptr) place = tree_->GetLocation(descriptor, place_index);
  if (place.line < 0) place = place_;
  mistakes_.AddError(place.line, place.column, absl::StrCat(PathOf(field, index), ": ", problem));
}

void Node::CheckRange(const char* field, int64_t value, int64_t min, int64_t max) const {
  if (value >= min && value <= max) return;
  Add(field, absl::StrCat(value, " is out of range; use ", min, " to ", max));
}

const google::protobuf::FieldDescriptor* Node::Field(const char* field) const {
  return message_.GetDescriptor()->FindFieldByName(field);
}

std::string Node::PathOf(const char* field, int index) const {
  if (index < 0) return absl::StrCat(path_, field);
  return absl::StrCat(path_, field, "[", index, "]");
}

}  // namespace planecast
