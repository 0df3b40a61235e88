#include "launch/config_options.h"

namespace reformer {

void add_config_options(CLI::App& app, std::string& file, std::vector<std::string>& overrides) {
  app.add_option("config", file, "Configuration, such as configs/demo.txtpb")->required();
  app.add_option("--set", overrides, "Set a field, such as --set model.layers=4; may be repeated")
      ->allow_extra_args(false);
}

}  // namespace reformer
