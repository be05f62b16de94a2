#include "tests/service/telemetry/metrics_text.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cmath>
#include <optional>
#include <set>
#include <sstream>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "service/sockets/host_port.h"
#include "vfio/fd.h"

namespace planecast::testing {
namespace {

bool IsName(const std::string& text) {
  if (text.empty() || absl::ascii_isdigit(static_cast<unsigned char>(text[0]))) return false;
  return text.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") ==
         std::string::npos;
}

/// One line of a sample, taken apart.
struct Sample {
  std::string name;
  /// Without braces.
  std::string labels;
  double value = 0;
};

/// The labels without `le`, and its value if there is one.
std::optional<std::string> TakeBound(std::string& labels) {
  std::optional<std::string> bound;
  std::vector<std::string> others;
  for (const std::string& label :
       std::vector<std::string>(absl::StrSplit(labels, ',', absl::SkipEmpty()))) {
    if (absl::StartsWith(label, "le=\"")) {
      bound = label.substr(4, label.size() - 5);
    } else {
      others.push_back(label);
    }
  }
  labels.clear();
  for (const std::string& label : others) {
    absl::StrAppend(&labels, labels.empty() ? "" : ",", label);
  }
  return bound;
}

class Reader {
 public:
  absl::Status ReadLine(const std::string& line) {
    if (absl::StartsWith(line, "# HELP ")) return ReadHelp(line.substr(7));
    if (absl::StartsWith(line, "# TYPE ")) return ReadType(line.substr(7));
    return ReadSample(line);
  }
  absl::Status CheckEnd() const {
    for (const auto& [series, histogram] : histograms_) {
      if (!histogram.count.has_value() || !histogram.sum) {
        return absl::InternalError(absl::StrCat(series, ": no count or no sum"));
      }
      if (!std::isinf(histogram.bound) || histogram.last != *histogram.count) {
        return absl::InternalError(absl::StrCat(series, ": +Inf is not the count"));
      }
    }
    return absl::OkStatus();
  }
  Samples samples;

 private:
  struct Histogram {
    double bound = -1;
    double last = 0;
    std::optional<double> count;
    bool sum = false;
  };

  absl::Status ReadHelp(const std::string& text) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits(' ', 1));
    if (!IsName(parts.first) || parts.second.empty()) return absl::InternalError("malformed HELP");
    if (!help_.insert(parts.first).second) return absl::InternalError("HELP twice");
    return absl::OkStatus();
  }
  absl::Status ReadType(const std::string& text) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(text, ' ');
    if (!help_.contains(parts.first)) return absl::InternalError("TYPE without HELP");
    if (!types_.emplace(parts.first, parts.second).second) return absl::InternalError("TYPE twice");
    return absl::OkStatus();
  }

  static absl::StatusOr<Sample> Parse(const std::string& line) {
    Sample sample;
    const size_t space = line.rfind(' ');
    if (space == std::string::npos) return absl::InternalError("no value");
    const std::string series = line.substr(0, space);
    const size_t brace = series.find('{');
    sample.name = series.substr(0, brace);
    if (brace != std::string::npos) {
      if (series.back() != '}') return absl::InternalError("labels without end");
      sample.labels = series.substr(brace + 1, series.size() - brace - 2);
    }
    if (!IsName(sample.name)) return absl::InternalError("no name");
    for (const std::string& label :
         std::vector<std::string>(absl::StrSplit(sample.labels, ',', absl::SkipEmpty()))) {
      const std::pair<std::string, std::string> parts =
          absl::StrSplit(label, absl::MaxSplits('=', 1));
      const bool quoted =
          parts.second.size() >= 2 && parts.second.front() == '"' && parts.second.back() == '"';
      if (!IsName(parts.first) || !quoted) return absl::InternalError("malformed label");
    }
    if (!absl::SimpleAtod(line.substr(space + 1), &sample.value)) {
      return absl::InternalError("no number");
    }
    return sample;
  }

  /// The name of the sample's family.
  std::string FamilyOf(const std::string& name) const {
    for (const char* suffix : {"_bucket", "_sum", "_count"}) {
      std::string base(absl::StripSuffix(name, suffix));
      const auto type = types_.find(base);
      if (base != name && type != types_.end() &&
          (type->second == "histogram" || type->second == "summary")) {
        return base;
      }
    }
    return name;
  }

  absl::Status ReadSample(const std::string& line) {
    auto sample = Parse(line);
    if (!sample.ok()) return sample.status();
    const std::string family = FamilyOf(sample->name);
    const auto type = types_.find(family);
    if (type == types_.end()) return absl::InternalError("a sample without HELP and TYPE");
    const std::string key = line.substr(0, line.rfind(' '));
    if (!samples.emplace(key, sample->value).second) return absl::InternalError("a sample twice");
    if (type->second == "counter" &&
        (!absl::EndsWith(sample->name, "_total") || sample->value < 0)) {
      return absl::InternalError("not as a counter should be");
    }
    if (type->second == "histogram") return ReadHistogram(family, *std::move(sample));
    return absl::OkStatus();
  }

  absl::Status ReadHistogram(const std::string& family, Sample sample) {
    const std::optional<std::string> bound = TakeBound(sample.labels);
    Histogram& histogram = histograms_[absl::StrCat(family, "{", sample.labels, "}")];
    if (sample.name == family + "_count") {
      histogram.count = sample.value;
    } else if (sample.name == family + "_sum") {
      histogram.sum = true;
    } else {
      double number = 0;
      if (!bound.has_value() || !absl::SimpleAtod(*bound, &number)) {
        return absl::InternalError("a bucket without bound");
      }
      if (number <= histogram.bound || sample.value < histogram.last) {
        return absl::InternalError("a bucket that does not rise");
      }
      histogram.bound = number;
      histogram.last = sample.value;
    }
    return absl::OkStatus();
  }

  std::set<std::string> help_;
  std::map<std::string, std::string> types_;
  std::map<std::string, Histogram> histograms_;
};

}  // namespace

absl::StatusOr<Samples> ReadMetrics(const std::string& page) {
  Reader reader;
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    if (auto status = reader.ReadLine(line); !status.ok()) {
      return absl::InternalError(absl::StrCat(status.message(), ": ", line));
    }
  }
  if (auto status = reader.CheckEnd(); !status.ok()) return status;
  return std::move(reader.samples);
}

namespace {

/// INADDR_ANY and port 0 for what is no address.
sockaddr_in PeerOf(const std::string& address) {
  sockaddr_in peer = {};
  peer.sin_family = AF_INET;
  const auto parsed = ParseHostPort(address);
  if (!parsed.ok()) return peer;
  peer.sin_port = htons(static_cast<uint16_t>(parsed->port));
  inet_pton(AF_INET, parsed->host.c_str(), &peer.sin_addr);
  return peer;
}

}  // namespace

bool Listens(const std::string& address) {
  const sockaddr_in own = PeerOf(address);
  const Fd fd(KernelSys(), socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  return bind(fd.get(), reinterpret_cast<const sockaddr*>(&own), sizeof(own)) != 0;
}

std::string HttpGet(const std::string& address, const std::string& path) {
  const sockaddr_in peer = PeerOf(address);
  const Fd fd(KernelSys(), socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof(peer)) != 0) return "";
  const std::string request =
      absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: ", address, "\r\nConnection: close\r\n\r\n");
  if (send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return "";
  std::string answer;
  std::array<char, 4096> buffer = {};
  for (;;) {
    const ssize_t size = recv(fd.get(), buffer.data(), buffer.size(), 0);
    if (size <= 0) return answer;
    answer.append(buffer.data(), static_cast<size_t>(size));
  }
}

}  // namespace planecast::testing
