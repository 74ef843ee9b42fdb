// Speed of a model library on one core, as JSON: ad40_bench LIBRARY.so CODES WORDS SCORES [REPEATS]
//   CODES   int32, 57 of each event; WORDS uint64, 19 of each event; both little-endian, nothing else in the file
//   SCORES  written: uint32 of each event, for the caller to compare
// Rates are medians over the repetitions, each of all events.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "ad40/loader.h"

namespace {

template <class T>
std::vector<T> read(const char *path, std::size_t per_event) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw std::runtime_error(std::string(path) + ": cannot be read");
  const auto bytes = static_cast<std::size_t>(file.tellg());
  if (bytes == 0 || bytes % (per_event * sizeof(T)) != 0) {
    throw std::runtime_error(std::string(path) + ": " + std::to_string(bytes) + " bytes are no whole events");
  }
  std::vector<T> values(bytes / sizeof(T));
  file.seekg(0);
  file.read(reinterpret_cast<char *>(values.data()), static_cast<std::streamsize>(bytes));
  return values;
}

// Median seconds of one call of work.
template <class Work>
double seconds(int repeats, Work work) {
  std::vector<double> times;
  for (int i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

int run(int argc, char **argv) {
  if (argc < 5) throw std::runtime_error("usage: ad40_bench LIBRARY.so CODES WORDS SCORES [REPEATS]");
  const int repeats = argc > 5 ? std::max(1, std::atoi(argv[5])) : 9;
  const ad40::ModelLoader loader(argv[1]);
  const auto score_batch = loader.symbol<decltype(ad40_score_batch)>("ad40_score_batch");
  const auto score_words = loader.symbol<decltype(ad40_score_words)>("ad40_score_words");
  const auto score_one = loader.symbol<decltype(ad40_score)>("ad40_score");
  const auto seed_bits = loader.symbol<decltype(ad40_seeds)>("ad40_seeds");
  const auto codes = read<std::int32_t>(argv[2], ad40::kInputs);
  const auto words = read<std::uint64_t>(argv[3], ad40::kObjects);
  const std::size_t n = codes.size() / ad40::kInputs;
  if (words.size() / ad40::kObjects != n) throw std::runtime_error("CODES and WORDS hold different numbers of events");
  std::vector<std::uint32_t> scores(n), others(n), bits(n);

  const double batch = seconds(repeats, [&] { score_batch(codes.data(), n, scores.data()); });
  const double from_words = seconds(repeats, [&] { score_words(words.data(), n, others.data()); });
  if (scores != others) throw std::runtime_error("scores of codes and of words differ");
  const double seeds = seconds(repeats, [&] { seed_bits(scores.data(), nullptr, n, bits.data()); });
  const double single = seconds(repeats, [&] {
    for (std::size_t e = 0; e < n; ++e) score_one(codes.data() + e * ad40::kInputs, &others[e]);
  });
  if (scores != others) throw std::runtime_error("scores of batches and of single events differ");
  const auto model = loader.load_model();
  const double three_calls = seconds(repeats, [&] {
    for (std::size_t e = 0; e < n; ++e) {
      model->prepare_input(codes.data() + e * ad40::kInputs);
      model->predict();
      model->read_result(&others[e]);
    }
  });
  if (scores != others) throw std::runtime_error("scores of batches and of the three calls differ");

  std::ofstream file(argv[4], std::ios::binary);
  file.write(reinterpret_cast<const char *>(scores.data()), static_cast<std::streamsize>(n * sizeof scores[0]));
  if (!file.flush()) throw std::runtime_error(std::string(argv[4]) + ": cannot be written");
  const auto events = static_cast<double>(n);
  std::printf(
      "{\"model\": \"%s\", \"version\": \"%s\", \"network_hash\": \"%s\", \"events\": %zu, \"repeats\": %d, "
      "\"batch_events_per_s\": %.0f, \"words_events_per_s\": %.0f, \"seeds_events_per_s\": %.0f, "
      "\"single_ns\": %.1f, \"three_calls_ns\": %.1f}\n",
      loader.name().c_str(), loader.version().c_str(), loader.network_hash().c_str(), n, repeats, events / batch,
      events / from_words, events / seeds, single / events * 1e9, three_calls / events * 1e9);
  return 0;
}

}  // namespace

int main(int argc, char **argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception &error) {
    std::fprintf(stderr, "ad40_bench: %s\n", error.what());
    return 2;
  }
}
