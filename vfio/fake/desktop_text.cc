#include "vfio/fake/desktop_text.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <string_view>

namespace planecast {
namespace {

constexpr double kLettersPerSecond = 16;
constexpr double kPauseS = 3;
/// Typing begins after this line.
constexpr int kLinesBefore = 14;

constexpr std::string_view kProgram =
    R"(// What a viewer sees is what the guest has flipped to.
#include "planecast/client.h"

namespace demo {

// Follows one display until the server says goodbye.
class Watcher {
 public:
  explicit Watcher(Client& client) : client_(client) {}

  void OnFrame(const AccessUnit& unit) {
    decoder_.Push(unit.bytes());
    frames_ += 1;
  }

  void OnCursor(int x, int y, bool visible) {
    pointer_.MoveTo(x, y);
    pointer_.Show(visible);
  }

  // A static screen costs nothing: no frame, no byte.
  bool Idle(int64_t now_ms) const {
    return now_ms - last_ms_ > 250;
  }

  int frames() const { return frames_; }

 private:
  Client& client_;
  Decoder decoder_;
  Pointer pointer_;
  int frames_ = 0;
  int64_t last_ms_ = 0;
};

int main() {
  Client client("vgpu-host:7443");
  Watcher watcher(client);
  client.Stream("displays/demo", watcher);
  return watcher.frames() > 0 ? 0 : 1;
}

}  // namespace demo)";

constexpr std::string_view kKeywords[] = {"namespace", "class",  "public",  "private", "explicit",
                                          "void",      "const",  "int",     "bool",    "return",
                                          "int64_t",   "public", "#include"};
constexpr uint32_t kPlain = 0xd7dce8;
constexpr uint32_t kKeyword = 0x82aaff;
constexpr uint32_t kComment = 0x6f7a99;
constexpr uint32_t kString = 0xc3e88d;
constexpr uint32_t kNumber = 0xf78c6c;
constexpr uint32_t kTypeName = 0xffcb6b;

bool IsWordLetter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '#';
}

/// Length of the token that `text` starts with.
size_t TokenLength(std::string_view text) {
  if (text.substr(0, 2) == "//") return text.size();
  if (text[0] == '"') {
    const size_t end = text.find('"', 1);
    return end == std::string_view::npos ? text.size() : end + 1;
  }
  const bool word = IsWordLetter(text[0]);
  size_t length = 1;
  while (word && length < text.size() && IsWordLetter(text[length])) ++length;
  return length;
}

uint32_t TokenColor(std::string_view token) {
  if (token.substr(0, 2) == "//") return kComment;
  if (token[0] == '"') return kString;
  if (std::find(std::begin(kKeywords), std::end(kKeywords), token) != std::end(kKeywords)) {
    return kKeyword;
  }
  const auto first = static_cast<unsigned char>(token[0]);
  if (std::isdigit(first) != 0) return kNumber;
  return std::isupper(first) != 0 ? kTypeName : kPlain;
}

}  // namespace

DesktopText::DesktopText() : column_px_(TextWidthPx("m", Typeface::kMono)) {
  std::string_view rest = kProgram;
  while (true) {
    const size_t end = rest.find('\n');
    Line line{.text = std::string(rest.substr(0, end)), .runs = {}};
    for (size_t at = 0; at < line.text.size();) {
      const std::string_view left = std::string_view(line.text).substr(at);
      const size_t length = TokenLength(left);
      const std::string_view token = left.substr(0, length);
      line.runs.push_back(
          {.text = std::string(token), .column = static_cast<int>(at), .color = TokenColor(token)});
      at += length;
    }
    letters_ += static_cast<int>(line.text.size()) + 1;
    lines_.push_back(std::move(line));
    if (static_cast<int>(lines_.size()) == kLinesBefore) typed_before_ = letters_;
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  --letters_;
}

DesktopText::Place DesktopText::PlaceAt(double seconds) const {
  const int to_type = letters_ - typed_before_;
  const double round_s = to_type / kLettersPerSecond + kPauseS;
  const auto typed = static_cast<int>(std::fmod(seconds, round_s) * kLettersPerSecond);
  int left = typed_before_ + std::min(typed, to_type);
  Place place;
  while (left > static_cast<int>(lines_[place.line].text.size())) {
    left -= static_cast<int>(lines_[place.line].text.size()) + 1;
    ++place.line;
  }
  place.column = left;
  return place;
}

void DesktopText::DrawLine(int line, int columns, int x_px, int baseline_px,
                           Painter& painter) const {
  for (const Run& run : lines_[line].runs) {
    const int visible = std::min(columns - run.column, static_cast<int>(run.text.size()));
    if (visible <= 0) break;
    painter.Text(x_px + run.column * column_px_, baseline_px,
                 std::string_view(run.text).substr(0, visible), Typeface::kMono, run.color);
  }
}

}  // namespace planecast
