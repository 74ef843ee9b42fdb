// A small coverage-guided fuzzer for LLVMFuzzerTestOneInput where libFuzzer is not there: with GCC compile the target
// with -fsanitize-coverage=trace-pc and this file without. Deterministic: fuzz RUNS SEED.
// An input that reaches a new edge joins the corpus; new inputs are mutations of the corpus.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size);

namespace {

constexpr std::size_t kEdges = 1 << 16;
std::uint8_t reached[kEdges], seen[kEdges];
std::uintptr_t previous;

}  // namespace

extern "C" void __sanitizer_cov_trace_pc();
extern "C" void __sanitizer_cov_trace_pc() {
  // relative to this program, so that a run does not depend on where it was loaded
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)) -
                    reinterpret_cast<std::uintptr_t>(&LLVMFuzzerTestOneInput);
  reached[(here ^ previous) % kEdges] = 1;
  previous = here >> 1;
}

namespace {

using Input = std::vector<std::uint8_t>;

bool run(const Input &input) {
  std::fill(std::begin(reached), std::end(reached), std::uint8_t{0});
  previous = 0;
  LLVMFuzzerTestOneInput(input.data(), input.size());
  bool news = false;
  for (std::size_t i = 0; i < kEdges; ++i) {
    news = news || (reached[i] && !seen[i]);
    seen[i] = seen[i] | reached[i];
  }
  return news;
}

Input mutate(const std::vector<Input> &corpus, std::mt19937_64 &random) {
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  Input input = corpus[below(corpus.size())];
  for (std::size_t times = 1 + below(8); times > 0; --times) {
    const std::size_t place = below(input.size() + 1);
    const auto at = input.begin() + static_cast<std::ptrdiff_t>(place);
    switch (below(7)) {
      case 0: if (at != input.end()) *at = static_cast<std::uint8_t>(random()); break;
      case 1: if (at != input.end()) *at = static_cast<std::uint8_t>(*at ^ 1u << below(8)); break;
      case 2: input.insert(at, 1 + below(16), static_cast<std::uint8_t>(random())); break;
      case 3: input.erase(at, input.begin() + static_cast<std::ptrdiff_t>(std::min(input.size(), place + below(16)))); break;
      case 4: input.resize(std::min<std::size_t>(input.size() * 2 + 1, 1 << 14), 0); break;
      case 5: {  // the rest of another input
        const Input &other = corpus[below(corpus.size())];
        const std::size_t from = below(other.size() + 1);
        input.erase(at, input.end());
        input.insert(input.end(), other.begin() + static_cast<std::ptrdiff_t>(from), other.end());
        break;
      }
      default: {  // an extreme 32-bit number
        static constexpr std::uint32_t extremes[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0xffff, 0x10000};
        const std::uint32_t value = extremes[below(std::size(extremes))];
        for (std::size_t i = 0; i < 4 && place + i < input.size(); ++i) {
          input[place + i] = static_cast<std::uint8_t>(value >> 8 * i);
        }
      }
    }
  }
  return input;
}

}  // namespace

int main(int argc, char **argv) {
  const long runs = argc > 1 ? std::atol(argv[1]) : 10000;
  std::mt19937_64 random(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1);
  std::vector<Input> corpus;
  for (std::uint8_t target = 0; target < 5; ++target) {
    for (const std::size_t size : {std::size_t{1}, std::size_t{1 + 57 * 4}, std::size_t{1 + 70 * 57 * 4}}) {
      corpus.emplace_back(size, target);
      run(corpus.back());
    }
  }
  for (long i = 0; i < runs; ++i) {
    Input input = mutate(corpus, random);
    if (run(input)) corpus.push_back(std::move(input));
  }
  std::printf("{\"runs\": %ld, \"corpus\": %zu, \"edges\": %td}\n", runs, corpus.size(),
              std::count(std::begin(seen), std::end(seen), std::uint8_t{1}));
  return 0;
}
