// The presets in configs/: all load, and the published ones have the published shapes.
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "tests/trainer/config_testing.h"

namespace reformer {
namespace {

RunConfig preset(const std::string& name) {
  RunConfig config = load_config("configs/" + name + ".txtpb", {});
  testing::expect_round_trip(config);
  return config;
}

TEST(ConfigPresets, AllLoad) {
  int presets = 0;
  for (const auto& entry : std::filesystem::directory_iterator("configs")) {
    if (entry.path().extension() != ".txtpb") continue;
    ++presets;
    SCOPED_TRACE(entry.path());
    preset(entry.path().stem().string());
  }
  EXPECT_GE(presets, 4);
}

TEST(ConfigPresets, TheNovelIsThere) {
  for (const char* name : {"demo", "bench"}) {
    EXPECT_TRUE(std::filesystem::is_regular_file(preset(name).run.data().path())) << name;
  }
}

TEST(ConfigPresets, Enwik8HasThePublishedShape) {
  const RunConfig config = preset("enwik8_64k");
  const ModelSpec& model = config.model;
  EXPECT_EQ(model.width, 1024);
  EXPECT_EQ(model.ff_width, 4096);
  EXPECT_EQ(model.max_length, 65536);
  ASSERT_EQ(model.layers.size(), 12u);
  for (size_t i = 0; i < 12; ++i) {
    EXPECT_EQ(describe_attention(model.layers[i]),
              i % 4 == 2 ? "LSH STRICT, 2 rounds, 256 buckets (16 x 16), chunk 256, duplicates "
                           "corrected"
                         : "LOCAL, chunk 128");
    EXPECT_EQ(model.layers[i].attention.heads, 8);
    EXPECT_EQ(model.layers[i].attention.head_dim, 128);
  }
  ASSERT_EQ(model.position_axes.size(), 2u);
  EXPECT_EQ(model.position_axes[0].extent, 128);
  EXPECT_EQ(model.position_axes[1].extent, 512);
  EXPECT_EQ(model.position_axes[0].width, 256);
  EXPECT_EQ(model.position_axes[1].width, 768);

  // The command in the comment of the preset gives the published attention.
  const RunConfig published = load_config("configs/enwik8_64k.txtpb",
                                          {"model.lsh.mode=CHUNKED", "model.lsh.buckets=[16,32]"});
  EXPECT_EQ(describe_attention(published.model.layers[2]),
            "LSH CHUNKED, 2 rounds, 512 buckets (16 x 32), chunk 256, duplicates corrected");
}

TEST(ConfigPresets, Imagenet64HasThePublishedShape) {
  const RunConfig config = preset("imagenet64");
  const ModelSpec& model = config.model;
  EXPECT_EQ(model.vocabulary, 256);
  EXPECT_EQ(model.width, 1024);
  EXPECT_EQ(model.ff_width, 4096);
  EXPECT_EQ(model.max_length, 64 * 64 * 3);
  EXPECT_EQ(model.dropout, 0);
  ASSERT_EQ(model.layers.size(), 6u);
  for (const LayerSpec& layer : model.layers) {
    EXPECT_EQ(describe_attention(layer), "LSH STRICT, 2 rounds, 96 buckets, chunk 128");
    EXPECT_EQ(layer.attention.heads, 8);
    EXPECT_EQ(layer.attention.head_dim, 64);
  }
  std::string axes;
  for (const PositionAxis& axis : model.position_axes) {
    axes += fmt::format("{}x{} ", axis.extent, axis.width);
  }
  EXPECT_EQ(axes, "64x384 64x384 3x256 ");

  // The command in the comment of the preset gives the published attention.
  const RunConfig published = load_config("configs/imagenet64.txtpb",
                                          {"model.lsh.mode=CHUNKED", "model.lsh.buckets=[192]"});
  EXPECT_EQ(describe_attention(published.model.layers[0]),
            "LSH CHUNKED, 2 rounds, 192 buckets, chunk 128");
}

TEST(ConfigPresets, CrimeAndPunishmentHasThePublishedShape) {
  const ModelSpec model = preset("crime_and_punishment").model;
  EXPECT_EQ(model.vocabulary, 320);
  EXPECT_EQ(model.width, 256);
  EXPECT_EQ(model.ff_width, 512);
  EXPECT_EQ(model.max_length, 524288);
  ASSERT_EQ(model.layers.size(), 6u);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(
        describe_attention(model.layers[i]),
        i % 2 == 0 ? "LOCAL, chunk 64" : "LSH STRICT, 1 round, 8192 buckets (64 x 128), chunk 64");
    EXPECT_EQ(model.layers[i].attention.heads, 2);
    EXPECT_EQ(model.layers[i].attention.head_dim, 64);
  }
  // The published buckets are what STRICT derives.
  const RunConfig derived =
      load_config("configs/crime_and_punishment.txtpb", {"model.lsh.buckets="});
  EXPECT_EQ(derived.model.layers[1].buckets, model.layers[1].buckets);
}

}  // namespace
}  // namespace reformer
