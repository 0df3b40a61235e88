#include "trainer/data/dataset.h"

#include "trainer/data/bytes.h"
#include "trainer/data/duplication.h"

namespace reformer {

std::unique_ptr<Dataset> make_dataset(const config::Run& run) {
  switch (run.data().source()) {
    case config::Data::DUPLICATION:
      return std::make_unique<DuplicationDataset>(run);
    case config::Data::BYTES:
      break;
  }
  return std::make_unique<ByteDataset>(run);
}

}  // namespace reformer
