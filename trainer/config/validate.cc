#include "trainer/config/validate.h"

#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "kernels/token_layout.h"
#include "trainer/config/applicability.h"
#include "trainer/config/data_rules.h"
#include "trainer/config/derive.h"
#include "trainer/config/schema.h"

namespace reformer {
namespace {

void check_applicable(const config::Run& run, const Source& source) {
  for (const InertField& field : inert_fields(run)) {
    if (!is_set(run, field.path)) continue;
    source.fail(field.path, "has no effect, since " + field.reason, "leave it out");
  }
}

void check_heads(const config::Model& model, const Source& source) {
  if (model.head_width() > 0 || model.width() % model.heads() == 0) return;
  source.fail({"model.width", "model.heads"},
              fmt::format("model.width {} is not a multiple of model.heads {}", model.width(),
                          model.heads()),
              fmt::format("multiples of {}, or model.head_width given", model.heads()));
}

void check_lengths(const config::Run& run, const Source& source) {
  const int64_t length = run.data().length();
  const int64_t max_length = max_length_of(run);
  if (length <= max_length) return;
  source.fail({"data.length", "model.max_length"},
              fmt::format("data.length {} exceeds model.max_length {}", length, max_length),
              fmt::format("data.length from 2 to {}, or a larger model.max_length", max_length));
}

void check_buckets(const config::Lsh& lsh, const Source& source) {
  int64_t product = 1;
  for (int i = 0; i < lsh.buckets_size(); ++i) {
    if (lsh.buckets(i) % 2 != 0) {
      source.fail(fmt::format("model.lsh.buckets[{}]", i), fmt::format("{} is odd", lsh.buckets(i)),
                  "even numbers from 2 to 65536");
    }
    if (lsh.buckets(i) > kLargestBucketCount / product) {
      source.fail("model.lsh.buckets", "the product of the factors is too large",
                  fmt::format("products from 2 to {}", kLargestBucketCount));
    }
    product *= lsh.buckets(i);
  }
}

void check_lsh(const config::Lsh& lsh, const Source& source) {
  check_buckets(lsh, source);
  // `same_bucket_only` may be spelled either way in STRICT: it states a default, not a wish to see
  // less.
  if (lsh.mode() == config::Lsh::STRICT && lsh.bidirectional()) {
    source.fail("model.lsh.bidirectional", "true contradicts model.lsh.mode STRICT",
                "false, or model.lsh.mode: CHUNKED");
  }
}

void check_axis_counts(const config::Positions& positions, const Source& source) {
  const int shape = positions.shape_size();
  const int widths = positions.widths_size();
  if (shape > 0 && widths > 0 && shape != widths) {
    source.fail("model.positions.widths",
                fmt::format("given for {} axes, but model.positions.shape has {}", widths, shape),
                "one width for each axis");
  }
  if (widths == 0 && shape > 2) {
    source.fail("model.positions.shape",
                fmt::format("{} axes, and model.positions.widths is empty", shape),
                "at most 2 axes, or a width for each");
  }
  if (shape == 0 && widths > 2) {
    source.fail("model.positions.widths",
                fmt::format("{} axes, and model.positions.shape is empty", widths),
                "at most 2 axes, or an extent for each");
  }
}

void check_axis_widths(const config::Model& model, const Source& source) {
  const config::Positions& positions = model.positions();
  if (positions.widths_size() == 0) {
    if (model.width() >= positions.shape_size()) return;
    source.fail({"model.positions.shape", "model.width"},
                fmt::format("model.width {} cannot be divided over {} axes", model.width(),
                            positions.shape_size()),
                "no more axes than model.width");
  }
  int64_t sum = 0;
  for (const int64_t width : positions.widths()) sum += width;
  if (sum == model.width()) return;
  source.fail(
      {"model.positions.widths", "model.width"},
      fmt::format("model.positions.widths add up to {}, but model.width is {}", sum, model.width()),
      fmt::format("widths that add up to {}", model.width()));
}

void check_axis_extents(const config::Run& run, const Source& source) {
  const config::Positions& positions = run.model().positions();
  if (positions.shape_size() == 0) return;
  const int64_t max_length = max_length_of(run);
  int64_t product = 1;
  for (const int64_t extent : positions.shape()) {
    if (extent >= max_length) return;
    product *= extent;
    if (product >= max_length) return;  // before it can overflow: both are below 2^25
  }
  source.fail({"model.positions.shape", "model.max_length", "data.length"},
              fmt::format("model.positions.shape has {} positions, but the longest sequence {}",
                          product, max_length),
              fmt::format("extents whose product is at least {}", max_length));
}

void check_positions(const config::Run& run, const Source& source) {
  if (run.model().positions().kind() != config::Positions::AXIAL) return;
  check_axis_counts(run.model().positions(), source);
  check_axis_widths(run.model(), source);
  check_axis_extents(run, source);
}

void check_batch(const config::Training& training, const Source& source) {
  if (training.micro_batch() == 0 || training.batch() % training.micro_batch() == 0) return;
  source.fail({"training.micro_batch", "training.batch"},
              fmt::format("training.batch {} is not a multiple of training.micro_batch {}",
                          training.batch(), training.micro_batch()),
              fmt::format("divisors of {}, or 0", training.batch()));
}

void check_schedule(const config::Training& training, const Source& source) {
  const config::Schedule& schedule = training.schedule();
  if (schedule.kind() != config::Schedule::LINEAR && schedule.kind() != config::Schedule::COSINE) {
    return;
  }
  if (schedule.warmup() > training.steps()) {
    source.fail({"training.schedule.warmup", "training.steps"},
                fmt::format("training.schedule.warmup {} exceeds training.steps {}",
                            schedule.warmup(), training.steps()),
                fmt::format("at most {} for {}", training.steps(),
                            config::Schedule::Kind_Name(schedule.kind())));
  }
  if (schedule.final_rate() > schedule.rate()) {
    source.fail({"training.schedule.final_rate", "training.schedule.rate"},
                fmt::format("training.schedule.final_rate {} exceeds training.schedule.rate {}",
                            schedule.final_rate(), schedule.rate()),
                fmt::format("at most {}", schedule.rate()));
  }
}

void check_stride(const config::Run& run, const Source& source) {
  const int64_t stride = run.evaluation().stride();
  if (stride <= run.data().length()) return;
  source.fail({"evaluation.stride", "data.length"},
              fmt::format("evaluation.stride {} leaves tokens out between sequences of {}", stride,
                          run.data().length()),
              "at most data.length");
}

void check_execution(const config::Execution& execution, const Source& source) {
  if (execution.device() == config::Execution::CPU &&
      execution.compute() == config::Execution::BFLOAT16) {
    source.fail({"execution.compute", "execution.device"}, "the CPU does not compute in BFLOAT16",
                "BY_DEVICE or FLOAT32, or execution.device CUDA");
  }
  const int64_t tile = TokenLayout{}.tile;
  if (execution.leaf_tokens() % tile == 0) return;
  source.fail("execution.leaf_tokens",
              fmt::format("{} is not a multiple of {}", execution.leaf_tokens(), tile),
              fmt::format("multiples of {}", tile));
}

/// What holds for any number of ranks; the rest is found out when they are there (derive_mesh.h).
void check_parallel(const config::Run& run, const Source& source) {
  const int64_t sequence = run.parallel().sequence();
  const int64_t heads = run.parallel().heads();
  const RanksOfSequence most = most_ranks_of_sequence(run);
  if (sequence > most.count) {
    source.fail(
        {"parallel.sequence", "data.length", "execution.leaf_tokens", "model.heads"},
        fmt::format("a sequence cannot be shared by {} ranks (parallel.sequence)", sequence),
        fmt::format("at most {}, one for each {}", most.count, most.part));
  }
  if (heads > run.model().heads()) {
    source.fail({"parallel.heads", "model.heads"},
                fmt::format("{} ranks cannot share {} heads", heads, run.model().heads()),
                "at most model.heads");
  }
  if (sequence == 0 || heads == 0 || sequence % heads == 0) return;
  source.fail(
      {"parallel.heads", "parallel.sequence"},
      fmt::format("parallel.sequence {} is not a multiple of parallel.heads {}", sequence, heads),
      fmt::format("divisors of {}, or 0", sequence));
}

}  // namespace

void validate(const config::Run& run, const Source& source) {
  check_applicable(run, source);
  check_heads(run.model(), source);
  check_lengths(run, source);
  check_lsh(run.model().lsh(), source);
  check_positions(run, source);
  validate_data(run, source);
  check_batch(run.training(), source);
  check_schedule(run.training(), source);
  check_stride(run, source);
  check_execution(run.execution(), source);
  check_parallel(run, source);
}

}  // namespace reformer
