// Fuzzing of what a model library is given, for libFuzzer (clang++ -fsanitize=fuzzer) and for fuzz_main.cpp. Compiled
// with the source of a model, named by -DAD40_SOURCE. Aborts when two ways to a score disagree, the optimised
// arithmetic differs from the plain one below, or something is accepted that must be refused.
#include AD40_SOURCE

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "ad40/library_file.h"

namespace {

void require(bool holds, const char *what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

// Floor, rest, and the word of UG1399 for the mode; then into the format.
template <class L>
std::int64_t plain_quantise(std::int64_t s) {
  using ad40::kernel::Overflow;
  using ad40::kernel::Rounding;
  if (L::relu && s < 0) s = 0;
  if (L::shift <= 0) {
    for (int i = 0; i < -L::shift; ++i) s *= 2;
  } else {
    const std::int64_t unit = std::int64_t{1} << (L::shift > 0 ? L::shift : 0);
    std::int64_t low = s / unit - (s % unit < 0 ? 1 : 0);
    const std::int64_t twice = 2 * (s - low * unit);
    const bool tie_up = L::rounding == Rounding::rnd || low % 2 != 0;
    if (L::rounding != Rounding::trn && (twice > unit || (twice == unit && tie_up))) ++low;
    s = low;
  }
  if constexpr (L::overflow == Overflow::sat) return std::max<std::int64_t>(L::low, std::min<std::int64_t>(L::high, s));
  else {
    const std::int64_t span = std::int64_t{1} << L::width;
    const std::int64_t code = (s % span + span) % span;
    return L::is_signed && code >= span / 2 ? code - span : code;
  }
}

template <class L>
std::vector<std::int64_t> plain_layer(const std::vector<std::int64_t> &x) {
  std::vector<std::int64_t> y;
  for (std::size_t k = 0; k < L::outputs; ++k) {
    std::int64_t sum = L::bias[k];
    for (std::size_t t = L::first[k]; t < L::first[k + 1]; ++t) {
      sum += std::int64_t{L::terms[t].weight} * x[static_cast<std::size_t>(L::terms[t].input)];
    }
    y.push_back(plain_quantise<L>(sum));
  }
  return y;
}

template <class... L>
void plain_layers(ad40::kernel::List<L...>, std::vector<std::int64_t> &y) {
  ((y = plain_layer<L>(y)), ...);
}

// A code, or the angle to MET in its place. Codes beyond any word count as the largest one.
template <class Net>
std::int64_t plain_code(const std::int32_t *codes, std::size_t index, [[maybe_unused]] std::size_t input) {
  if constexpr (Net::angles_to_met) {
    const auto limited = [codes](std::size_t k) {
      return std::max<std::int64_t>(-Net::code_max, std::min<std::int64_t>(Net::code_max, codes[k]));
    };
    const std::int64_t turn = Net::angles[input].turn;
    if (turn != 0) {
      const std::int64_t d = std::abs(limited(index) - Net::angles[input].per_met * limited(3 * Net::met + 2));
      return std::min(d, turn - d);
    }
  }
  return codes[index];
}

// An angle to MET where there is none.
template <class Net>
bool without_met([[maybe_unused]] const std::int32_t *codes, [[maybe_unused]] std::size_t input) {
  if constexpr (Net::angles_to_met) return Net::angles[input].turn != 0 && codes[3 * Net::met] == 0;
  return false;
}

// The score by its definition: one event, 64 bits, no blocks.
template <class Net>
std::uint32_t plain_score(const std::int32_t *codes) {
  std::vector<std::int64_t> x(kInputs, 0);
  for (std::size_t i = 0; i < std::size(Net::inputs); ++i) {
    const auto &in = Net::inputs[i];
    const auto index = static_cast<std::size_t>(in.index);
    std::int64_t v = plain_code<Net>(codes, index, i) - std::int64_t{in.offset};
    v = (v >> in.right) * std::int64_t{in.left};
    v = std::max<std::int64_t>(Net::min, std::min<std::int64_t>(Net::max, v));
    x[index] = codes[index / 3 * 3] != 0 && !without_met<Net>(codes, i) ? v : 0;
  }
  std::vector<std::int64_t> y = x;
  plain_layers(typename Net::Layers(), y);
  std::int64_t total = 0;
  for (const auto &s : Net::scored) {
    const auto i = static_cast<std::size_t>(s.input), k = static_cast<std::size_t>(s.output);
    if (codes[i / 3 * 3] != 0) total += std::abs(x[i] * std::int64_t{Net::up_x} - y[k] * std::int64_t{Net::up_y});
  }
  return static_cast<std::uint32_t>(total);
}

std::uint32_t three_calls(const std::any &event) {
  static ad40::Model *model = create_model();
  std::uint32_t score = 0;
  model->prepare_input(event);
  model->predict();
  model->read_result(&score);
  return score;
}

template <class T>
std::vector<T> values(const unsigned char *data, std::size_t size, std::size_t multiple) {
  std::vector<T> v(size / (sizeof(T) * multiple) * multiple);
  if (!v.empty()) std::memcpy(v.data(), data, v.size() * sizeof(T));
  return v;
}

void fuzz_codes(const unsigned char *data, std::size_t size) {
  const auto codes = values<std::int32_t>(data, size, kInputs);
  const std::size_t n = codes.size() / kInputs;
  std::vector<std::uint32_t> scores(n);
  require(ad40_score_batch(codes.data(), n, scores.data()) == AD40_OK, "a batch of codes");
  for (std::size_t e = 0; e < n; ++e) {
    const std::int32_t *event = codes.data() + e * kInputs;
    require(plain_score<ad40_network>(event) == scores[e], "a batch gives the score of the definition");
    require(three_calls(event) == scores[e], "the three calls give the score of the batch");
  }
  std::size_t where = codes.size();
  const bool outside = ad40_check(codes.data(), n, &where) != AD40_OK;
  require(outside == (where < codes.size()), "check names the place");
}

void fuzz_words(const unsigned char *data, std::size_t size) {
  const auto words = values<std::uint64_t>(data, size, kObjects);
  const std::size_t n = words.size() / kObjects;
  std::vector<std::uint32_t> scores(n);
  require(ad40_score_words(words.data(), n, scores.data()) == AD40_OK, "a batch of words");
  for (std::size_t e = 0; e < n; ++e) {
    std::int32_t codes[kInputs];
    for (std::size_t i = 0; i < kInputs; ++i) {
      const auto &field = ad40_network::fields[i];
      const auto bits = static_cast<std::int64_t>(words[e * kObjects + i / 3] >> field.shift & field.mask);
      codes[i] = static_cast<std::int32_t>(field.sign && bits >= field.sign ? bits - 2 * std::int64_t{field.sign} : bits);
    }
    require(plain_score<ad40_network>(codes) == scores[e], "words give the score of their codes");
    require(three_calls(words.data() + e * kObjects) == scores[e], "the three calls give the score of the batch");
  }
}

void fuzz_types(const unsigned char *data, std::size_t size) {
  const std::vector<std::int32_t> codes = values<std::int32_t>(data, size, 1);
  const std::vector<std::uint64_t> words = values<std::uint64_t>(data, size, 1);
  const std::any events[] = {codes, words, std::string(data, data + size), std::any(), static_cast<int>(size),
                             values<float>(data, size, 1), static_cast<const std::int32_t *>(nullptr)};
  const std::size_t kind = size ? data[0] % std::size(events) : 0;
  const bool taken = (kind == 0 && codes.size() == kInputs) || (kind == 1 && words.size() == kObjects);
  try {
    three_calls(events[kind]);
    require(taken, "what is no event is refused");
  } catch (const std::invalid_argument &) {
    require(!taken, "an event is taken");
  }
}

// The bytes are a library, or, in the second half, changes to a true one: {place, value} pairs of 3 and 1 bytes.
void fuzz_files(const unsigned char *data, std::size_t size) {
  const std::vector<unsigned char> bytes(data, data + size);
  (void)ad40::library_fault(bytes);
  require(!ad40::checksum_fault(bytes, std::string(data, data + size)).empty(), "a text is no checksum of itself");
  static const std::vector<unsigned char> header = [] {  // of this program: an ELF file whose parts are in place
    std::vector<unsigned char> head(4096);
    if (std::FILE *file = std::fopen("/proc/self/exe", "rb")) {
      head.resize(std::fread(head.data(), 1, head.size(), file));
      std::fclose(file);
    }
    return head;
  }();
  std::vector<unsigned char> changed = header;
  for (std::size_t i = 0; i + 4 <= size && !changed.empty(); i += 4) {
    std::uint32_t place = 0;
    std::memcpy(&place, data + i, 3);
    changed[(i == 0 ? place % 64 : place % changed.size())] = data[i + 3];
  }
  (void)ad40::library_fault(changed);
  require(ad40::checksum_fault(changed, ad40::sha256(changed)).empty(), "a file agrees with its checksum");
  const bool same = changed == header;
  require(same == ad40::checksum_fault(header, ad40::sha256(changed)).empty(), "another file does not");
}

void fuzz_seeds(const unsigned char *data, std::size_t size) {
  const auto scores = values<std::uint32_t>(data, size, 1);
  std::vector<std::uint16_t> bx;
  bool inside = true;
  for (const std::uint32_t score : scores) {
    bx.push_back(static_cast<std::uint16_t>(score >> 16 & 0xfff));
    inside = inside && bx.back() < ad40_network::orbit_bx;
  }
  std::vector<std::uint32_t> all(scores.size()), some(scores.size());
  require(ad40_seeds(scores.data(), nullptr, scores.size(), all.data()) == AD40_OK, "seeds of scores");
  const bool taken = ad40_seeds(scores.data(), bx.data(), scores.size(), some.data()) == AD40_OK;
  require(taken == inside || scores.empty(), "bunch crossings of the orbit are taken");
  for (std::size_t e = 0; taken && e < scores.size(); ++e) {
    require((some[e] & ~all[e]) == 0, "a bunch crossing takes seeds away only");
    for (std::uint32_t bit = 0; bit < ad40_seed_count(); ++bit) {
      require((all[e] >> bit & 1) == (scores[e] >= ad40_seed_threshold(bit)), "a seed fires from its threshold on");
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  constexpr void (*targets[])(const unsigned char *, std::size_t) = {fuzz_codes, fuzz_words, fuzz_types, fuzz_files,
                                                                     fuzz_seeds};
  if (size > 0) targets[data[0] % std::size(targets)](data + 1, size - 1);
  return 0;
}
