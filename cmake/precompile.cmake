# Precompiled headers.
#
# A sanitizer's build is there to run tests, and most of its time would go into parsing the same
# headers: all its targets share one precompiled header, or a second one with gRPC. The other builds
# parse what a file includes, so that one which includes too little is found there; only a target
# that names HEADERS, for which parsing takes seconds, has some of its own.
#   planecast_precompile(TARGET [GRPC] [HEADERS <a.h> <b.h>])
function(planecast_precompile target)
  cmake_parse_arguments(ARG "GRPC" "" "HEADERS" ${ARGN})
  if(NOT PLANECAST_SANITIZE)
    if(ARG_HEADERS)
      target_precompile_headers(${target} PRIVATE ${ARG_HEADERS})
    endif()
  elseif(ARG_GRPC)
    target_precompile_headers(${target} REUSE_FROM planecast_headers_grpc)
  else()
    target_precompile_headers(${target} REUSE_FROM planecast_headers)
  endif()
endfunction()

if(PLANECAST_SANITIZE)
  # ccache goes by what is in a precompiled header, not by when it was made.
  add_compile_options("$<$<CXX_COMPILER_ID:Clang>:SHELL:-Xclang -fno-pch-timestamp>")
  find_package(GTest REQUIRED)
  set(headers
    <algorithm> <array> <atomic> <chrono> <condition_variable> <cstdint> <cstring> <deque>
    <filesystem> <fstream> <functional> <map> <memory> <mutex> <optional> <set> <span> <sstream>
    <string> <thread> <utility> <variant> <vector>
    <absl/status/statusor.h> <absl/strings/str_cat.h> <absl/strings/str_format.h>
    <absl/strings/str_join.h> <gmock/gmock.h> <gtest/gtest.h>)
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/headers.cc CONTENT "")
  add_library(planecast_headers STATIC ${CMAKE_BINARY_DIR}/headers.cc)
  target_link_libraries(planecast_headers PRIVATE planecast_options Threads::Threads GTest::gmock
    absl::statusor absl::str_format)
  target_precompile_headers(planecast_headers PRIVATE ${headers})
  if(NOT PLANECAST_CORE_ONLY)
    add_library(planecast_headers_grpc STATIC ${CMAKE_BINARY_DIR}/headers.cc)
    # What the contract is made of is known further on.
    target_link_libraries(planecast_headers_grpc PRIVATE planecast_options planecast_proto
      Threads::Threads GTest::gmock absl::statusor absl::str_format)
    target_precompile_headers(planecast_headers_grpc PRIVATE ${headers} <grpcpp/grpcpp.h>
      <planecast/v1/display_service.grpc.pb.h> <planecast/v1/host_service.grpc.pb.h>
      <planecast/v1/viewer_service.grpc.pb.h>)
  endif()
endif()
