#include "trainer/weights/zip_archive.h"

#include <filesystem>

#include <fmt/format.h>
#include <zip.h>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

struct CloseEntry {
  void operator()(zip_file_t* entry) const { zip_fclose(entry); }
};

}  // namespace

void ZipArchive::Close::operator()(zip* archive) const {
  zip_discard(archive);
}

ZipArchive::ZipArchive(const std::string& path) : path_(path) {
  int code = 0;
  archive_.reset(zip_open(path.c_str(), ZIP_RDONLY, &code));
  if (archive_) {
    std::error_code error;
    file_bytes_ = std::filesystem::file_size(path, error);
    if (error) throw DataError(fmt::format("{}: {}", path, error.message()));
    return;
  }
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  const std::string reason = zip_error_strerror(&error);
  zip_error_fini(&error);
  throw DataError(fmt::format("{}: is a damaged archive, or cut off: {}", path, reason));
}

std::vector<std::string> ZipArchive::names() const {
  std::vector<std::string> names;
  const zip_int64_t entries = zip_get_num_entries(archive_.get(), 0);
  for (zip_int64_t i = 0; i < entries; ++i) {
    const char* const name = zip_get_name(archive_.get(), static_cast<zip_uint64_t>(i), 0);
    names.emplace_back(name == nullptr ? "" : name);
  }
  return names;
}

bool ZipArchive::has(const std::string& name) const {
  return zip_name_locate(archive_.get(), name.c_str(), 0) >= 0;
}

size_t ZipArchive::size_of(const std::string& name) const {
  zip_stat_t entry;
  zip_stat_init(&entry);
  if (zip_stat(archive_.get(), name.c_str(), 0, &entry) != 0) {
    fail(name, zip_strerror(archive_.get()));
  }
  constexpr zip_uint64_t kNeeded = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
  if ((entry.valid & kNeeded) != kNeeded || entry.comp_method != ZIP_CM_STORE ||
      entry.size != entry.comp_size) {
    fail(name, "compressed, which is not read");
  }
  if (entry.size > file_bytes_) {
    fail(name, fmt::format("claims {} bytes, and the whole file has {}", entry.size, file_bytes_));
  }
  return entry.size;
}

std::vector<uint8_t> ZipArchive::read(const std::string& name) const {
  std::vector<uint8_t> bytes(size_of(name));
  const std::unique_ptr<zip_file_t, CloseEntry> entry(zip_fopen(archive_.get(), name.c_str(), 0));
  if (!entry) fail(name, zip_strerror(archive_.get()));
  size_t done = 0;
  while (done < bytes.size()) {
    const zip_int64_t count = zip_fread(entry.get(), bytes.data() + done, bytes.size() - done);
    if (count < 0) fail(name, zip_file_strerror(entry.get()));
    if (count == 0) fail(name, "cut off");
    done += static_cast<size_t>(count);
  }
  // The checksum is compared at the end.
  char beyond = 0;
  if (zip_fread(entry.get(), &beyond, 1) != 0) fail(name, zip_file_strerror(entry.get()));
  return bytes;
}

void ZipArchive::fail(const std::string& name, const std::string& reason) const {
  throw DataError(fmt::format("{}: entry {}: {}", path_, name, reason));
}

}  // namespace reformer
