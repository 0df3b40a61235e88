#include <cstring>

#include <fmt/format.h>

#include "trainer/checks/check.h"
#include "trainer/checks/check_model.h"

namespace reformer {

CheckResult check_reversibility(Backend& backend) {
  const Tensor rebuilt = CheckModel(check_config(), backend).gradients();
  const Tensor stored =
      CheckModel(check_config({"execution.activations=STORE"}), backend).gradients();
  int64_t different = 0;
  for (int64_t i = 0; i < rebuilt.elements(); ++i) {
    different += rebuilt.data<int64_t>()[i] != stored.data<int64_t>()[i];
  }
  return {
      .name = "rebuilt activations are the stored ones",
      .holds = different == 0,
      .detail = fmt::format("{} of {} gradients differ, allowed 0", different, rebuilt.elements())};
}

}  // namespace reformer
