#!/usr/bin/env bash
# Fails on an #include that breaks the one-way dependencies between the folders,
#
#   launch → trainer → trainer/model → {kernels, comm} → kernels/core
#
# and on a source file in a folder that has no rule here.
#
#   tests/structure/check_includes.sh [root]
set -euo pipefail
cd "${1:-"$(dirname "${BASH_SOURCE[0]}")/../.."}"

# A folder, then the folders and files whose headers its sources may include.
rules='
kernels/core        kernels/core
kernels             kernels kernels/core
kernels/cpu         kernels kernels/core kernels/cpu hwy
kernels/cuda        kernels kernels/core kernels/cuda
comm                comm kernels/core
trainer/model       trainer/model trainer/model/sequence kernels kernels/core comm
trainer/model/sequence trainer/model/sequence trainer/model kernels kernels/core comm
trainer/checkpoint  TRAINER
trainer/checks      TRAINER
trainer/config      TRAINER
trainer/data        TRAINER
trainer/evaluation  TRAINER
trainer/generation  TRAINER
trainer/plot        TRAINER
trainer/replay      TRAINER
trainer/weights     TRAINER
trainer             TRAINER
launch              launch launch/doctor kernels/cpu/cpu_backend.h kernels/cuda/cuda_backend.h TRAINER
launch/doctor       launch launch/doctor kernels/cpu/cpu_backend.h TRAINER
'
trainer='trainer trainer/checkpoint trainer/checks trainer/config trainer/data trainer/evaluation
         trainer/generation trainer/model trainer/model/sequence/slot_windows.h trainer/plot trainer/replay trainer/weights configs kernels
         kernels/core comm'
rules=${rules//TRAINER/${trainer//$'\n'/ }}

find . \( -path './.*' -o -path ./build -o -path ./data -o -path ./runs \) -prune -o \
  -type f \( -name '*.h' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' \) -print0 |
  sort -z |
  RULES=$rules xargs -0 awk '
    function folder_of(path) {
      return sub(/\/[^\/]*$/, "", path) ? path : ""
    }

    function complain(message) {
      print file ":" FNR ": " message
      ++complaints
    }

    BEGIN {
      lines = split(ENVIRON["RULES"], line, "\n")
      for (i = 1; i <= lines; ++i) {
        words = split(line[i], word, " ")
        if (words == 0) continue
        has_rule[word[1]] = 1
        ours[substr(word[1], 1, match(word[1] "/", "/") - 1)] = 1
        for (j = 2; j <= words; ++j) {
          allowed[word[1], word[j]] = 1
          names[word[1]] = names[word[1]] " " word[j]
        }
      }
    }

    FNR == 1 {
      file = substr(FILENAME, 3)
      folder = folder_of(file)
      is_test = folder ~ /^tests(\/|$)/
      if (!is_test && !(folder in has_rule)) {
        complain("no rule for folder \"" folder "\" in tests/structure/check_includes.sh")
      }
      ++files
    }

    /^[ \t]*#[ \t]*include[ \t]*["<]/ {
      quoted = $0 ~ /include[ \t]*"/
      header = $0
      sub(/^[^"<]*["<]/, "", header)
      sub(/[">].*/, "", header)
      top = substr(header, 1, match(header "/", "/") - 1)
      if (!quoted) {
        if (header ~ /\// && (top in ours || top == "configs" || top == "tests")) {
          complain("<" header "> is of this repository: include it with quotes")
        }
        next
      }
      if (header ~ /(^|\/)\.\.?\// || header !~ /\//) {
        complain("\"" header "\" is not a path from the root")
      } else if (!is_test && folder in has_rule &&
                 !((folder, folder_of(header)) in allowed) && !((folder, header) in allowed)) {
        complain("\"" header "\" may not be included in " folder ", only:" names[folder])
      }
    }

    END {
      if (complaints) exit 1
      if (!files) {
        print "no source file here"
        exit 1
      }
      print files " files include only what they may"
    }'
