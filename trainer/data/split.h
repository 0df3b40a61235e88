// Which part of a file is for training and which is held out.
#pragma once

#include <cstdint>
#include <string>

#include "configs/run.pb.h"
#include "trainer/data/data_range.h"

namespace reformer {

struct DataSplit {
  DataRange train;
  DataRange validation;
};

/// "training [0, 80), held-out [80, 100)".
std::string describe(const DataSplit& split);

/// data.train and data.validation, or all but the last share data.validation_share and that share,
/// of `size` units of the file `path`; `unit` is the name of one. Throws DataError where a range
/// does not lie in the file.
DataSplit split_of(const config::Data& data, int64_t size, const char* unit,
                   const std::string& path);

}  // namespace reformer
