// A directory for one test.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <system_error>

namespace planecast::testing {

/// A new directory, removed with all that is in it.
class TempDir {
 public:
  TempDir() {
    // Short, whatever TMPDIR says: a unix socket's path has 107 bytes at most.
    std::string name = "/tmp/planecast-XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~TempDir() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace planecast::testing
