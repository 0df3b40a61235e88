// ZIP archives as other programs would write them.
#pragma once

#include <map>
#include <string>

#include <zip.h>

#include "kernels/core/check.h"

namespace reformer::testing {

/// Writes an archive of these entries and returns `path`.
inline std::string write_archive(const std::string& path,
                                 const std::map<std::string, std::string>& entries,
                                 int method = ZIP_CM_STORE) {
  zip_t* const archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, nullptr);
  CHECK(archive != nullptr);
  for (const auto& [name, text] : entries) {
    zip_source_t* const source = zip_source_buffer(archive, text.data(), text.size(), 0);
    const zip_int64_t index = zip_file_add(archive, name.c_str(), source, 0);
    CHECK_GE(index, 0);
    zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), method, 0);
  }
  CHECK_EQ(zip_close(archive), 0);
  return path;
}

}  // namespace reformer::testing
