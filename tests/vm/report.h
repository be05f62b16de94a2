// What a program of the VM test prints: one line per check.
#pragma once

#include <iostream>
#include <string>
#include <string_view>

namespace planecast::vmtest {

/// Counts and prints checks. Thread-compatible.
class Report {
 public:
  /// One check; `detail` is shown when it failed. Gives `ok` back.
  bool Check(bool ok, std::string_view what, std::string_view detail = {}) {
    Print(ok ? "PASS" : "FAIL", what, ok ? std::string_view() : detail);
    ++(ok ? passed_ : failed_);
    return ok;
  }
  void Skip(std::string_view what, std::string_view reason) {
    Print("SKIP", what, reason);
    ++skipped_;
  }
  /// Takes over a line that another program's report printed; false if it is none.
  bool Adopt(std::string_view line) {
    if (line.starts_with("PASS ")) {
      ++passed_;
    } else if (line.starts_with("FAIL ")) {
      ++failed_;
    } else if (line.starts_with("SKIP ")) {
      ++skipped_;
    } else {
      return false;
    }
    std::cout << line << std::endl;
    return true;
  }
  /// Prints the closing line; the exit status.
  int Close() const {
    std::cout << passed_ << " passed, " << failed_ << " failed, " << skipped_ << " skipped"
              << std::endl;
    return failed_ == 0 && passed_ > 0 ? 0 : 1;
  }
  int passed() const { return passed_; }
  int failed() const { return failed_; }

 private:
  static void Print(std::string_view verdict, std::string_view what, std::string_view detail) {
    std::cout << verdict << " " << what;
    if (!detail.empty()) std::cout << ": " << detail;
    std::cout << std::endl;
  }

  int passed_ = 0;
  int failed_ = 0;
  int skipped_ = 0;
};

}  // namespace planecast::vmtest
