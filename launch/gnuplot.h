// Pictures through gnuplot.
#pragma once

#include <functional>
#include <string>

namespace reformer {

/// "svg" or "png", as the name of a picture asks for. Throws ConfigError for other names.
std::string picture_format(const std::string& path);

/// Throws ConfigError if gnuplot is not installed.
void require_gnuplot();

/// Draws the picture `output`: runs gnuplot on what `script` returns for the path that it is to
/// draw to, and puts that in place as a whole. Throws ConfigError if gnuplot is not installed,
/// DataError if it fails or the picture cannot be written.
void draw_picture(const std::string& output,
                  const std::function<std::string(const std::string& path)>& script);

}  // namespace reformer
