// One encoding of a display, and the viewers that share it.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "encoder/encoder.h"
#include "service/core/display_metrics.h"
#include "service/core/display_options.h"
#include "service/core/display_state.h"
#include "service/core/encoder_choice.h"
#include "service/core/frame_pacer.h"
#include "service/core/latency_window.h"
#include "service/core/stream_event.h"
#include "service/core/viewer.h"
#include "vfio/clock.h"
#include "vfio/frame.h"

namespace planecast {

/// Key frames for viewers that lost units, or that asked for one, are at least this far apart.
inline constexpr int64_t kKeyFrameIntervalMinNs = 500'000'000;
/// Key frames for viewers that join are at least this far apart: enough to merge a crowd, too short
/// to be seen.
inline constexpr int64_t kJoinKeyFrameIntervalMinNs = 50'000'000;
/// So many in a row come as quickly as that; further ones are as far apart as the others. Who joins
/// again and again costs everybody bits, for each makes a key frame of all others' picture too.
inline constexpr int kQuickKeyFramesMax = 16;
/// An encoder that fails is rebuilt after this, doubled each time up to the second.
inline constexpr int64_t kEncoderRetryMinNs = 100'000'000;
inline constexpr int64_t kEncoderRetryMaxNs = 5'000'000'000;
/// An encoder is rebuilt for a new size of the guest's this long after the last time at the least:
/// each begins with a key frame, and a mode change of a guest may go through several sizes.
inline constexpr int64_t kResizeIntervalMinNs = 100'000'000;
/// Failures in a row before the display says ENCODER_FAILED.
inline constexpr int kEncoderFailuresTolerated = 3;
/// A frame that can't be encoded at all is tried again after this, or when the guest shows another.
inline constexpr int64_t kFrameRetryNs = 3'000'000'000;
/// Between two tries of frames that can't be encoded, however the guest flips.
inline constexpr int64_t kFrameRetryMinNs = 100'000'000;
/// A picture that did not change for so long stands still: it is refined, step by step.
inline constexpr int64_t kStillNs = 80'000'000;
/// Units of a still picture, a key frame and its refinements, that are kept for who joins it.
inline constexpr size_t kStillUnitsMax = 4;

/// A narrow link gets fewer pictures while they are coarser than this on average, down to so many,
/// and more again when they are finer than that.
inline constexpr int kPaceQuantizerHigh = 42;
inline constexpr int kPaceQuantizerLow = 33;
inline constexpr int kPaceMinHz = 15;

/// A viewer with what it wants in this step.
struct Member {
  std::shared_ptr<Viewer> viewer;
  Viewer::Wants wants;
  bool greeted = false;
  /// The display's counts when the viewer joined.
  CountValues baseline;
  /// What the viewer was told last; absent until there was a picture.
  std::optional<StreamDescription> told;
  /// When it last came to another rendition, or 0.
  int64_t moved_ns = 0;
  /// When it last came to a better one, or 0.
  int64_t moved_up_ns = 0;
  /// How long it has to do well before it comes to a better one; 0: the least.
  int64_t move_up_wait_ns = 0;
  /// The cursor's image that it was offered last, by name; 0: none.
  uint32_t cursor_id = 0;
  /// Until when its link has work with the images so far, at the rate that they may take.
  int64_t cursor_paid_ns = 0;
};

/// An encoder, its sequence of units, and its members: when to encode for them, how, and who gets
/// what. A display has one rendition, or more when some viewers can't follow the others.
///
/// Bound to the display's thread. Never blocks but in the encoder.
class Rendition {
 public:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  enum class Readiness {
    /// No frame can be encoded now.
    kNone,
    kReady,
    /// Ready with a new encoder, which the members are to be told of.
    kNewEncoder,
  };

  /// All must outlive the rendition.
  Rendition(const DisplayOptions& options, const DisplaySpec& spec, DisplayMetrics& metrics);

  std::vector<Member>& members() { return members_; }
  const std::vector<Member>& members() const { return members_; }

  /// What its pictures may take from now on. `narrow` says that a link asks for that: then fewer
  /// pictures are made where more would become too coarse.
  void SetLimits(const RateParams& rate, int frame_rate_hz, bool narrow, int64_t now_ns);
  const RateParams& rate() const { return wanted_rate_; }
  bool AnyViewerReady() const;
  /// Draws the cursor into the pictures from now on; null draws none. Read by each encode.
  void DrawCursor(const Cursor* cursor);

  /// A look at the planes would be followed by an encode. `frame` is the last look's or null.
  bool LookDue(const Frame* frame, int64_t now_ns) const;
  /// When that may be next for what is known now, or kNever.
  int64_t NextNs(const Frame* frame) const;
  /// Somebody is not ready for whom there would be something.
  bool AwaitsReady(const Frame* frame, int64_t now_ns) const;

  /// Makes the encoder if need be.
  Readiness Prepare(const Frame& frame, int64_t now_ns);
  /// Encodes the frame for the members if Prepare said so in this step and it is due. Returns
  /// whether pixels changed, if it was encoded. `new_frame`: it was just looked at.
  std::optional<bool> MaybeEncode(Frame& frame, bool new_frame, int64_t now_ns);
  /// There is no frame any more.
  void DropPending() { frame_pending_ = false; }

  /// The first viewer came, or the last one left.
  void Begin(int64_t now_ns);
  void Rest();
  bool has_encoder() const { return encoder_ != nullptr; }
  void DropEncoder();

  /// The encoder's, or null.
  const StreamDescription* description() const {
    return encoder_ == nullptr ? nullptr : &encoder_->description();
  }
  /// Of the encoder that made the last unit or will make the next one; empty before the first.
  const EncoderIdentity& encoder() const { return identity_; }
  const std::string& encoder_name() const { return identity_.id; }
  /// Why it is no better encoder; empty if it is the one that was asked for.
  std::string DegradedReason() const;
  /// How the last unit's pixels travelled, and why not better; nothing before the first.
  const std::optional<PixelPath>& pixel_path() const { return pixel_path_; }
  const std::string& pixel_path_reason() const { return pixel_path_reason_; }
  /// Units were made since the start.
  bool coded() const { return sequence_ > 0; }
  /// What the display should say of frames that can't be encoded.
  const std::optional<StateReport>& problem() const { return problem_; }

  /// This rendition's part of the statistics since the last call: rates, latencies, quantiser.
  void TakeStats(int64_t now_ns, StreamStats& stats);
  /// Bits per second in the busiest period of TakeStats of late.
  int64_t busy_bps() const { return busy_bps_; }

 private:
  int64_t FrameIntervalNs() const;
  void Pace();
  bool EncoderFits(const Frame& frame) const;
  void ServeStillPicture(int64_t now_ns);
  /// When a still picture is to be refined, or kNever.
  int64_t RefineNs(const Frame* frame) const;
  /// When a key frame that a viewer wants may be made, or kNever if none is wanted.
  int64_t KeyFrameNs() const;
  void NoteKeyFrame(int64_t now_ns);
  /// Until when no frame may be tried, after errors or a change of size; INT64_MIN if at once.
  int64_t HeldBackUntilNs(const Frame* frame) const;
  std::optional<bool> Encode(Frame& frame, bool force_idr, int64_t now_ns);
  void HandleUnit(std::shared_ptr<const AccessUnit> unit);
  void MeasureUnit(const AccessUnit& unit);
  void KeepStillUnit(const StreamEventPtr& event);
  void HandleError(const absl::Status& error, const Frame& frame, int64_t now_ns);

  const DisplayOptions& options_;
  const DisplaySpec& spec_;
  Clock& clock_;
  DisplayMetrics& metrics_;
  std::vector<Member> members_;
  const Cursor* cursor_ = nullptr;

  std::unique_ptr<Encoder> encoder_;
  EncoderIdentity identity_;
  EncoderChoice choice_;
  std::optional<PixelPath> pixel_path_;
  std::string pixel_path_reason_;
  uint32_t encoder_width_px_ = 0;
  uint32_t encoder_height_px_ = 0;
  /// No rebuild for another size before.
  int64_t resize_min_ns_ = 0;
  RateParams encoder_rate_;
  RateParams wanted_rate_;
  int frame_rate_hz_ = 0;
  bool narrow_ = false;
  /// Pictures per second that a narrow link gets in a bearable quality; 0 is no limit.
  int pace_hz_ = 0;
  bool prepared_ = false;
  int encoder_failures_ = 0;
  int64_t encoder_retry_ns_ = 0;
  /// The newest frame that could not be encoded, and when to try again.
  struct Refused {
    uint64_t serial = 0;
    PlaneLayout layout;
    int64_t retry_min_ns = 0;
    int64_t retry_ns = 0;
  };
  std::optional<Refused> refused_;
  std::optional<StateReport> problem_;

  uint64_t sequence_ = 0;
  /// The last key frame and its refinements, if no other unit followed: serves who joins a picture
  /// that did not change since.
  std::vector<StreamEventPtr> still_units_;
  /// The picture counts as still from then on, if nothing changes.
  int64_t still_ns_ = 0;
  /// As EncodeResult::refine_ns.
  int64_t refine_ns_ = kNever;
  std::optional<int64_t> last_key_frame_ns_;
  /// Of quick key frames how many there were; one less for each interval in which none came.
  int quick_key_frames_ = 0;
  FramePacer pacer_;
  /// Empty but while a unit is handed out; here so as not to be allocated each time.
  std::vector<Viewer::Notify> due_;
  /// A frame was looked at and not encoded: no viewer was ready, the frame-rate cap, an error.
  bool frame_pending_ = false;

  int64_t window_start_ns_ = 0;
  uint64_t window_units_ = 0;
  uint64_t window_bytes_ = 0;
  uint64_t window_quantizers_ = 0;
  int64_t busy_bps_ = 0;
  int last_quantizer_ = 0;
  LatencyWindow flip_to_capture_;
  LatencyWindow capture_to_encoded_;
  LatencyWindow capture_to_converted_;
  LatencyWindow converted_to_encoded_;
};

}  // namespace planecast
