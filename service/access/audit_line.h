// Entries of the audit log as text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "service/access/audit_log.h"

namespace planecast {

/// Of a string that somebody else chose, at most so many bytes get into a line, as escaped: the
/// first for who and why, the second for details, the third for the rest. A whole line stays below
/// what the log cuts.
inline constexpr size_t kAuditTextMaxBytes = 320;
inline constexpr size_t kAuditDetailMaxBytes = 240;
inline constexpr size_t kAuditNameMaxBytes = 128;

/// E.g. `planecast.stream.start`.
std::string_view AuditEventName(AuditEvent event);

/// The text as the inside of a JSON string: quotes, backslashes and whatever could move a
/// terminal's cursor or its direction of writing are escaped, what is no UTF-8 becomes U+FFFD, and
/// a ticket's secret `pct_...`. Cut between characters, with `...`, to `max_bytes`.
std::string AuditEscape(std::string_view text, size_t max_bytes);

/// One JSON object, without a line feed. `wall_ns` counts from the epoch; `suppressed` entries got
/// no line since the last one.
std::string AuditJson(const AuditEntry& entry, int64_t wall_ns, uint64_t suppressed);

/// `NAME=value` each, for sd_journal_sendv: MESSAGE is for people, PLANECAST_... for machines.
std::vector<std::string> AuditJournalFields(const AuditEntry& entry, uint64_t suppressed);

/// True if this fd is the journal's: `journal_stream` (may be null) is $JOURNAL_STREAM. A child
/// inherits the variable even where its own output goes elsewhere, so it alone says nothing.
bool IsJournal(int fd, const char* journal_stream);

}  // namespace planecast
