// Ownership of one file descriptor.
#pragma once

#include <utility>

#include "vfio/sys.h"

namespace planecast {

/// Owns one fd and closes it through the Sys that it came from. Move-only.
///
/// An `int` fd in a signature of ours is always borrowed. Thread-compatible.
class Fd {
 public:
  Fd() = default;
  /// Takes over `fd`, which must have come from `sys`; `sys` must outlive this.
  Fd(Sys& sys, int fd) : sys_(&sys), fd_(fd) {}
  Fd(Fd&& other) noexcept : sys_(other.sys_), fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      Reset();
      sys_ = other.sys_;
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { Reset(); }

  /// The borrowed fd, or -1 if this owns none.
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  Sys& sys() const { return *sys_; }

  /// Gives the fd away, to one who will close it.
  [[nodiscard]] int Release() { return std::exchange(fd_, -1); }

  /// Closes the fd, if any.
  void Reset() {
    if (fd_ >= 0) sys_->Close(std::exchange(fd_, -1));
  }

 private:
  Sys* sys_ = nullptr;
  int fd_ = -1;
};

}  // namespace planecast
