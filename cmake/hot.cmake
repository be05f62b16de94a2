# The sanitizers' builds are not optimised: that halves the time to build them, and most tests wait
# rather than compute. What loops over samples computes, and is worth the optimiser's time.
#   planecast_hot(a.cc b.cc)
function(planecast_hot)
  if(NOT PLANECAST_SANITIZE)
    return()
  endif()
  # Compiled otherwise than the shared header is.
  set_source_files_properties(${ARGN} PROPERTIES
    COMPILE_OPTIONS -O1 SKIP_PRECOMPILE_HEADERS ON)
endfunction()
