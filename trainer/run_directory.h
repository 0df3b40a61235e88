// Where things are in a run directory.
#pragma once

#include <string>

namespace reformer {

struct RunDirectory {
  std::string path;

  std::string config() const { return path + "/config.txtpb"; }    // resolved configuration
  std::string log() const { return path + "/train.log"; }          // what was printed
  std::string metrics() const { return path + "/metrics.jsonl"; }  // one object a step
  std::string checkpoints() const { return path + "/checkpoints"; }
};

}  // namespace reformer
