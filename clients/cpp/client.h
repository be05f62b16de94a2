// The client library: what a remote-desktop client or an orchestrator needs of planecast.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "clients/cpp/address.h"
#include "clients/cpp/error_reason.h"
#include "clients/cpp/stream.h"
#include "planecast/v1/access_service.pb.h"
#include "planecast/v1/display.pb.h"
#include "planecast/v1/display_service.pb.h"
#include "planecast/v1/host_service.pb.h"
#include "planecast/v1/viewer_service.pb.h"

namespace planecast {

/// Whether to encrypt.
enum class Transport {
  /// Plain text on unix sockets and loopback addresses, TLS elsewhere and where TlsOptions are set.
  kAuto,
  /// TLS.
  kTls,
  /// Plain text, anywhere. Whoever is on the network can then see and control the displays.
  kPlainText,
};

/// Files for TLS, in PEM, and the name to expect.
struct TlsOptions {
  /// The CA that signed the server's certificate. Empty: the system's CAs.
  std::string ca_path = {};
  /// This client's certificate chain, where the server asks for one. Empty: none.
  std::string certificate_path = {};
  /// This client's private key. Set with `certificate_path` or not at all.
  std::string private_key_path = {};
  /// The name in the server's certificate, where it differs from the address. Empty: no difference.
  std::string server_name = {};

  /// Whether anything is set.
  bool any() const {
    return !ca_path.empty() || !certificate_path.empty() || !private_key_path.empty() ||
           !server_name.empty();
  }
};

/// Where and how to connect.
struct ClientOptions {
  /// See ParseServerAddress. Empty: PLANECAST_SERVER, else the default unix socket.
  std::string server;
  Transport transport = Transport::kAuto;
  TlsOptions tls;
  /// A ticket's secret, `pct_` and 43 characters. Empty: PLANECAST_TICKET, else none. Calls have
  /// the ticket's rights and no others. It goes over TLS, unix sockets and loopback addresses only;
  /// no message of the library contains it.
  std::string ticket = {};
  /// The time that each call but the streaming ones may take.
  std::chrono::milliseconds deadline{10'000};
};

/// What to take a snapshot of.
struct SnapshotOptions {
  /// Without the cursor even where it is a plane of its own.
  bool exclude_cursor = false;
  /// Scaled down to at most this width, 0 for as it is.
  int width_max_px = 0;
};

/// A connection to a planecast server.
///
/// Thread-safe. Displays are named by their id or by their resource name. Errors keep the codes of
/// the proto's error lists and their reasons, see ReasonOf; a server that can't be reached is
/// UNAVAILABLE with a message that says what to do. Protocol messages are the result types: the
/// proto is the contract.
class Client {
 public:
  /// Reads the options. Does not wait for the server: calls say so if there is none, and a stream
  /// may begin before the server does.
  ///
  /// Errors: INVALID_ARGUMENT for a bad address, options that contradict each other, or a ticket
  /// that is malformed or would go over plain text to another machine; NOT_FOUND or
  /// PERMISSION_DENIED for a TLS file.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(const ClientOptions& options);

  /// Streams must be destroyed before.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// The server's address, as messages name it.
  const std::string& server() const;

  /// The version, plane sources, encoders and limits.
  absl::StatusOr<v1::GetHostInfoResponse> GetHostInfo();

  /// All displays, sorted by name.
  absl::StatusOr<std::vector<v1::Display>> ListDisplays();

  /// One display, looked at afresh.
  absl::StatusOr<v1::Display> GetDisplay(std::string_view display);

  /// Attaches a display. Safe against a lost answer: the call carries a request id and is sent once
  /// more if the connection broke under it.
  absl::StatusOr<v1::Display> AttachDisplay(std::string_view display,
                                            const v1::DisplaySource& source,
                                            const std::map<std::string, std::string>& labels = {});

  /// Changes these fields of a display, `labels`, to what `display` has. With its etag set, only if
  /// nobody else has changed them since it was read; else ReasonOf is ETAG_MISMATCH.
  absl::StatusOr<v1::Display> UpdateDisplay(const v1::Display& display,
                                            const std::vector<std::string>& fields);

  /// Detaches a display; its device is closed on return.
  absl::Status DetachDisplay(std::string_view display);

  /// Offers the guest a mode.
  absl::Status SetDisplayMode(std::string_view display, int width_px, int height_px);

  /// The current picture as PNG.
  absl::StatusOr<v1::GetSnapshotResponse> GetSnapshot(std::string_view display,
                                                      const SnapshotOptions& options = {});

  /// Makes a ticket. Display names may be ids. The answer has the secret, so this is for TLS, unix
  /// sockets and loopback addresses only, too: INVALID_ARGUMENT elsewhere.
  absl::StatusOr<v1::CreateTicketResponse> CreateTicket(const v1::CreateTicketRequest& request);

  /// The tickets of displays that the caller manages, oldest first.
  absl::StatusOr<std::vector<v1::Ticket>> ListTickets();

  /// Voids a ticket, `tickets/ID` or `ID`; its streams end.
  absl::Status RevokeTicket(std::string_view ticket);

  /// Who streams a display, in the order in which they came.
  absl::StatusOr<std::vector<v1::ViewerInfo>> ListViewers(std::string_view display);

  /// Sends a viewer away: its id, or its whole resource name. `message` is told to the viewer.
  absl::Status EndViewer(std::string_view display, std::string_view viewer,
                         std::string_view message = "");

  /// Calls `on_event`, on this thread, with what is attached, a bookmark, and each change, until
  /// `stop` is requested or `on_event` returns false (both: OK) or the connection ends (its
  /// status).
  absl::Status WatchDisplays(const std::stop_token& stop,
                             const std::function<bool(const v1::WatchDisplaysResponse&)>& on_event);

  /// Starts to stream a display. `handler` must outlive the stream.
  ///
  /// Errors: INVALID_ARGUMENT for a malformed name. All else is told to the handler.
  absl::StatusOr<std::unique_ptr<Stream>> StreamDisplay(std::string_view display,
                                                        const StreamOptions& options,
                                                        StreamHandler& handler);

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace planecast
