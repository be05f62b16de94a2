// What is wrong with a config, each mistake with its place in the file.
#pragma once

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace planecast {

/// Collects mistakes; of more than 20 the first 20. Not thread-safe.
class Mistakes : public google::protobuf::io::ErrorCollector {
 public:
  explicit Mistakes(std::string_view file_name) : file_name_(file_name) {}

  /// `line` and `column` count from 0; a negative line means unknown.
  void AddError(int line, int column, const std::string& message) override;

  /// OK without mistakes; else INVALID_ARGUMENT with one line each.
  absl::Status status() const;

 private:
  std::string file_name_;
  std::vector<std::string> lines_;
};

/// A message in the file: knows its path and its place for errors. Must not outlive what it was
/// made of.
class Node {
 public:
  /// The whole file's message. `tree` may be null: then no place is known.
  Node(Mistakes& mistakes, const google::protobuf::Message& message,
       google::protobuf::TextFormat::ParseInfoTree* tree)
      : Node(mistakes, message, tree, "", {}) {}

  /// The message in a field; `index` says which of a repeated field.
  Node Child(const char* field, const google::protobuf::Message& message, int index = -1) const;

  /// Adds a mistake in a field. What is not in the file, for instance as it is missing, has the
  /// place of the message around it.
  void Add(const char* field, absl::string_view problem, int index = -1) const;

  void CheckRange(const char* field, int64_t value, int64_t min, int64_t max) const;

 private:
  using Tree = google::protobuf::TextFormat::ParseInfoTree;
  using Place = google::protobuf::TextFormat::ParseLocation;
  Node(Mistakes& mistakes, const google::protobuf::Message& message, Tree* tree, std::string path,
       Place place)
      : mistakes_(mistakes),
        message_(message),
        tree_(tree),
        path_(std::move(path)),
        place_(place) {}

  const google::protobuf::FieldDescriptor* Field(const char* field) const;
  std::string PathOf(const char* field, int index) const;

  Mistakes& mistakes_;
  const google::protobuf::Message& message_;
  Tree* tree_;
  std::string path_;
  Place place_;
};

}  // namespace planecast
