#include "trainer/data/text_cut.h"

#include "kernels/core/check.h"

namespace reformer {
namespace {

bool continues_character(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0) == 0x80;
}

}  // namespace

size_t cut_before_word(std::string_view text, size_t most) {
  constexpr size_t kLongestCharacter = 4;
  CHECK_GE(most, kLongestCharacter);
  if (text.size() <= most) return text.size();
  const size_t space = text.find_last_of(' ', most);
  if (space != std::string_view::npos && space >= kLongestCharacter) return space;
  size_t cut = most;
  while (cut > most - kLongestCharacter + 1 && continues_character(text[cut])) --cut;
  return continues_character(text[cut]) ? most : cut;  // no UTF-8: any place is as good
}

}  // namespace reformer
