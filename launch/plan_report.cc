#include "launch/plan_report.h"

#include <functional>
#include <set>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "trainer/config/resolve.h"
#include "trainer/derive_mesh.h"
#include "trainer/exchange_formulas.h"
#include "trainer/model/flops.h"
#include "trainer/model/parameters.h"
#include "trainer/step.h"

namespace reformer {
namespace {

using nlohmann::ordered_json;

/// One line of a table: a name, and a number for each rank.
struct Row {
  std::string name;
  std::vector<double> values;
};

enum class Sum { kShown, kNone };

using ValueOf = std::function<double(const RankPlan&)>;

class Rows {
 public:
  explicit Rows(const RunPlan& plan) : plan_(plan) {}

  /// Not if it is 0 everywhere.
  void add(const std::string& name, const ValueOf& value_of) {
    Row row{.name = name, .values = {}};
    bool any = false;
    for (const RankPlan& rank : plan_.ranks) {
      row.values.push_back(value_of(rank));
      any = any || row.values.back() != 0;
    }
    if (any) rows_.push_back(std::move(row));
  }

  const std::vector<Row>& rows() const { return rows_; }

 private:
  const RunPlan& plan_;
  std::vector<Row> rows_;
};

/// The keys of a map of any rank.
template <typename Map>
std::set<std::string> names_in(const RunPlan& plan, Map PlannedStep::*map) {
  std::set<std::string> names;
  for (const RankPlan& rank : plan.ranks) {
    for (const auto& [name, value] : rank.step.*map) names.insert(name);
  }
  return names;
}

std::vector<Row> memory_rows(const PlanReport& report) {
  Rows rows(report.plan);
  for (int use = 0; use < kMemoryUses; ++use) {
    const auto index = static_cast<size_t>(use);
    rows.add(std::string(name_of(static_cast<MemoryUse>(use))), [index](const RankPlan& rank) {
      return static_cast<double>(rank.step.memory.by_use[index]);
    });
  }
  rows.add("workspace of the kernels", [](const RankPlan& rank) {
    return static_cast<double>(rank.step.memory.workspace_bytes);
  });
  return rows.rows();
}

std::vector<Row> host_rows(const PlanReport& report) {
  Rows rows(report.plan);
  rows.add("batch", [](const RankPlan& rank) { return static_cast<double>(rank.host.batch); });
  rows.add("rotations",
           [](const RankPlan& rank) { return static_cast<double>(rank.host.rotations); });
  rows.add("routes of tokens",
           [](const RankPlan& rank) { return static_cast<double>(rank.host.routes); });
  rows.add("checkpoint, a tensor at a time",
           [](const RankPlan& rank) { return static_cast<double>(rank.host.checkpoint); });
  return rows.rows();
}

std::vector<Row> traffic_rows(const PlanReport& report) {
  Rows rows(report.plan);
  for (const std::string& purpose : names_in(report.plan, &PlannedStep::sent)) {
    rows.add(purpose, [&](const RankPlan& rank) {
      const auto found = rank.step.sent.find(purpose);
      return found == rank.step.sent.end() ? 0 : static_cast<double>(found->second.bytes);
    });
  }
  return rows.rows();
}

std::vector<Row> flop_rows(const PlanReport& report) {
  Rows rows(report.plan);
  for (const std::string& op : names_in(report.plan, &PlannedStep::ops)) {
    rows.add(op, [&](const RankPlan& rank) {
      const auto found = rank.step.ops.find(op);
      return found == rank.step.ops.end() ? 0 : found->second.flops;
    });
  }
  return rows.rows();
}

std::vector<double> sums_of(const std::vector<Row>& rows, size_t columns) {
  std::vector<double> sums(columns);
  for (const Row& row : rows) {
    for (size_t i = 0; i < columns; ++i) sums[i] += row.values[i];
  }
  return sums;
}

std::string line(const std::string& name, const std::vector<std::string>& cells) {
  std::string text = fmt::format("  {:<32}", name);
  for (const std::string& cell : cells) text += fmt::format("{:>16}", cell);
  return text + "\n";
}

std::vector<std::string> cells_of(const std::vector<double>& values,
                                  const std::function<std::string(double)>& show) {
  std::vector<std::string> cells;
  for (const double value : values) cells.push_back(show(value));
  return cells;
}

std::string show_bytes(double bytes) {
  return format_bytes(static_cast<size_t>(bytes));
}

std::string show_flops(double flops) {
  return flops < 1e12 ? fmt::format("{:.3f} GFLOP", flops * 1e-9)
                      : fmt::format("{:.3f} TFLOP", flops * 1e-12);
}

std::string table(const PlanReport& report, const std::string& title, const std::vector<Row>& rows,
                  const std::function<std::string(double)>& show, Sum sum = Sum::kShown) {
  std::vector<std::string> heads;
  for (const RankPlan& rank : report.plan.ranks) {
    heads.push_back(fmt::format("rank {}", rank.place.rank()));
  }
  std::string text = fmt::format("\n{:<34}", title);
  for (const std::string& head : heads) text += fmt::format("{:>16}", head);
  text += "\n";
  for (const Row& row : rows) text += line(row.name, cells_of(row.values, show));
  if (sum == Sum::kShown) text += line("all", cells_of(sums_of(rows, heads.size()), show));
  return text;
}

std::string layers_of(const PlanReport& report) {
  std::string text;
  for (const std::string& layer :
       describe_layers(report.plan.ranks[0].place, report.config.model)) {
    text += "  " + layer + "\n";
  }
  return text;
}

std::string steps_of(const PlanReport& report) {
  const config::Run& run = report.config.run;
  std::string text = fmt::format(
      "{}\n{} parameters; a step: {} sequences of {} tokens, {} at a time\n",
      describe(report.plan.ranks[0].place, run.data().length(), report.config.model.leaf_tokens),
      parameter_count(report.config.model), run.training().batch(), run.data().length(),
      micro_batch_of(run.training()));
  if (report.plan.ranks.size() > 1) {
    text += fmt::format("rank 0 makes the checkpoints; rank {} takes most on its backend\n",
                        report.plan.ranks[1].place.rank());
  }
  return text;
}

std::string reported_flops_of(const PlanReport& report) {
  const config::Run& run = report.config.run;
  const double of_step = step_flops_per_token(report.config.model, run.data().length()) *
                         static_cast<double>(run.training().batch() * run.data().length());
  return fmt::format("  as training reports them: {} on all ranks\n", show_flops(of_step));
}

std::string formulas_of(const PlanReport& report) {
  Rows rows(report.plan);
  const auto formulas = [&](const RankPlan& rank) {
    return exchange_formulas(report.config, rank.place, rank.step.sequences);
  };
  rows.add("shared heads, 9 U", [&](const RankPlan& rank) { return formulas(rank).heads; });
  rows.add("shared buckets, at most",
           [&](const RankPlan& rank) { return formulas(rank).buckets_most; });
  rows.add("shared buckets, spread evenly",
           [&](const RankPlan& rank) { return formulas(rank).buckets_even; });
  if (rows.rows().empty()) return "";
  return table(report, "of it for attention, by formula", rows.rows(), show_bytes, Sum::kNone);
}

std::string fit_line(const std::string& what, const Fit& fit) {
  std::string text = fmt::format("  {}: ", what);
  text +=
      fit.value == 0 ? "none" : fmt::format("{}, {} a rank", fit.value, format_bytes(fit.bytes));
  return fit.limit.empty() ? text + "\n" : fmt::format("{} ({})\n", text, fit.limit);
}

std::string fits_of(const PlanReport& report) {
  if (!report.fits) return "";
  const Fits& fits = *report.fits;
  std::string text = fmt::format("\nwhat fits into {} a rank\n", format_bytes(fits.memory));
  if (fits.longest) {
    text +=
        fit_line(fmt::format("longest data.length on {} ranks", report.plan.ranks[0].place.size()),
                 *fits.longest);
  }
  return text +
         fit_line(fmt::format("fewest ranks for data.length {}", report.config.run.data().length()),
                  fits.fewest);
}

ordered_json json_of(const std::vector<Row>& rows, size_t column) {
  ordered_json json = ordered_json::object();
  for (const Row& row : rows) json[row.name] = row.values[column];
  return json;
}

ordered_json json_of(const Fit& fit) {
  return {{"value", fit.value}, {"bytes", fit.bytes}, {"limit", fit.limit}};
}

}  // namespace

std::string plan_tables(const PlanReport& report) {
  return steps_of(report) + layers_of(report) +
         table(report, "memory", memory_rows(report), show_bytes) +
         table(report, "on the host besides", host_rows(report), show_bytes, Sum::kNone) +
         table(report, "sent in a step", traffic_rows(report), show_bytes) + formulas_of(report) +
         table(report, "products in a step", flop_rows(report), show_flops) +
         reported_flops_of(report) + fits_of(report);
}

std::string to_json(const PlanReport& report) {
  const Mesh& mesh = report.plan.ranks[0].place;
  ordered_json json;
  json["mesh"] = {{"ranks", mesh.size()},
                  {"data", mesh.data_size},
                  {"sequence", mesh.sequence_size},
                  {"heads", mesh.head_size},
                  {"buckets", mesh.bucket_size()}};
  json["data_length"] = report.config.run.data().length();
  json["parameters"] = parameter_count(report.config.model);
  json["ranks"] = ordered_json::array();
  for (size_t i = 0; i < report.plan.ranks.size(); ++i) {
    const RankPlan& rank = report.plan.ranks[i];
    json["ranks"].push_back({{"rank", rank.place.rank()},
                             {"sequences", rank.step.sequences},
                             {"arena_bytes", rank.step.memory.arena_bytes},
                             {"memory", json_of(memory_rows(report), i)},
                             {"host", json_of(host_rows(report), i)},
                             {"sent", json_of(traffic_rows(report), i)},
                             {"flops", json_of(flop_rows(report), i)}});
  }
  if (report.fits) {
    json["fits"] = {{"memory", report.fits->memory}, {"fewest", json_of(report.fits->fewest)}};
    if (report.fits->longest) json["fits"]["longest"] = json_of(*report.fits->longest);
  }
  return json.dump(2) + "\n";
}

}  // namespace reformer
