// Checks of model libraries from C++: check NAME ARGUMENTS... The exit code is 0 when the check holds; the first thing
// that does not is printed. tests/unit/test_library.py names the checks and their arguments.
#include <array>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ad40/loader.h"

namespace {

using Arguments = std::vector<std::string>;
using Pair = std::pair<std::uint32_t, std::uint32_t>;

void require(bool holds, const std::string &what) {
  if (!holds) throw std::runtime_error("does not hold: " + what);
}

template <class T>
std::vector<T> read(const std::string &path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  require(bool(file), path + " can be read");
  std::vector<T> values(static_cast<std::size_t>(file.tellg()) / sizeof(T));
  file.seekg(0);
  file.read(reinterpret_cast<char *>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(T)));
  return values;
}

// The error of a call: its message must hold `part`.
template <class Error>
void refuses(const std::function<void()> &call, const std::string &part) {
  try {
    call();
  } catch (const Error &error) {
    require(std::string(error.what()).find(part) != std::string::npos,
            "'" + std::string(error.what()) + "' holds '" + part + "'");
    return;
  }
  throw std::runtime_error("nothing was thrown; expected an error with '" + part + "'");
}

std::uint32_t three_calls(ad40::Model &model, const std::any &event) {
  std::uint32_t score = 0;
  model.prepare_input(event);
  model.predict();
  model.read_result(&score);
  return score;
}

// CODES WORDS (LIBRARY SCORES)...: all libraries open at once, events given to them in turn, by every way in.
void agree(const Arguments &a) {
  const auto codes = read<std::int32_t>(a.at(0));
  const auto words = read<std::uint64_t>(a.at(1));
  const std::size_t n = codes.size() / ad40::kInputs;
  require(n > 0 && words.size() == n * ad40::kObjects, "codes and words of the same events");
  struct Open {
    ad40::ModelLoader loader;
    std::shared_ptr<ad40::Model> model;
    std::vector<std::uint32_t> expected;
  };
  std::vector<Open> open;
  for (std::size_t i = 2; i + 1 < a.size(); i += 2) {
    ad40::ModelLoader loader(a[i]);
    auto model = loader.load_model();
    open.push_back({std::move(loader), std::move(model), read<std::uint32_t>(a[i + 1])});
  }
  require(!open.empty(), "a library was given");
  for (std::size_t e = 0; e < n; ++e) {
    for (auto &o : open) {
      require(three_calls(*o.model, codes.data() + e * ad40::kInputs) == o.expected.at(e), "score of event " + std::to_string(e));
      require(three_calls(*o.model, words.data() + e * ad40::kObjects) == o.expected.at(e), "score of its words");
    }
  }
  for (auto &o : open) {
    const auto batch = o.loader.symbol<decltype(ad40_score_batch)>("ad40_score_batch");
    const auto from_words = o.loader.symbol<decltype(ad40_score_words)>("ad40_score_words");
    for (const std::size_t size : {n, std::size_t{1}, std::size_t{7}, std::size_t{8}, std::size_t{63}, std::size_t{64}, std::size_t{65}}) {
      std::vector<std::uint32_t> scores(n, 0xdead), others(n, 0xdead);
      for (std::size_t e = 0; e < n; e += size) {
        const std::size_t count = std::min(size, n - e);
        require(batch(codes.data() + e * ad40::kInputs, count, scores.data() + e) == AD40_OK, "a batch of codes");
        require(from_words(words.data() + e * ad40::kObjects, count, others.data() + e) == AD40_OK, "a batch of words");
      }
      require(scores == o.expected && others == o.expected, "scores in batches of " + std::to_string(size));
    }
  }
}

// LIBRARY: models and symbols outlive the loader, the last one closes the library.
void outlive(const Arguments &a) {
  const std::array<std::int32_t, ad40::kInputs> empty{};
  std::vector<std::shared_ptr<ad40::Model>> models;
  {
    const ad40::ModelLoader loader(a.at(0));
    models.push_back(loader.load_model());
    const ad40::ModelLoader copy = loader;
    models.push_back(copy.load_model());
  }
  for (auto &model : models) require(three_calls(*model, empty) == 0, "the empty event scores 0");
  const auto is_open = [&] {
    void *handle = dlopen(a.at(0).c_str(), RTLD_LAZY | RTLD_NOLOAD);
    if (handle) dlclose(handle);
    return handle != nullptr;
  };
  models.pop_back();
  require(is_open(), "a model keeps the library open");
  require(three_calls(*models.front(), empty) == 0, "the empty event scores 0");
  models.clear();
  require(!is_open(), "the last model closes the library");
}

// LIBRARY: what prepare_input and read_result take, and what they refuse.
void types(const Arguments &a) {
  const auto model = ad40::ModelLoader(a.at(0)).load_model();
  std::array<std::int32_t, 57> codes{};
  std::array<std::uint64_t, 19> words{};
  codes[0] = 300;
  words[0] = 300;
  const std::uint32_t score = three_calls(*model, codes);
  const std::int32_t *constant = codes.data();
  const std::uint64_t *constant_words = words.data();
  for (const std::any &event : std::vector<std::any>{
           codes.data(), constant, codes, std::vector<std::int32_t>(codes.begin(), codes.end()), words.data(),
           constant_words, words, std::vector<std::uint64_t>(words.begin(), words.end())}) {
    require(three_calls(*model, event) == score, std::string("the same score from ") + event.type().name());
  }
  ad40::Result result{};
  Pair pair{};
  model->read_result(&result);
  model->read_result(&pair);
  require(result.score == score && pair == Pair(score, result.seeds), "score and seeds");

  std::int16_t narrow[57] = {};
  double real[57] = {};
  for (const std::any &event : std::vector<std::any>{
           std::any(), 1, 1.5, std::string("codes"), &narrow[0], &real[0], std::vector<float>(57), std::array<std::int32_t, 56>{},
           std::array<std::uint32_t, 57>{}, std::vector<std::int64_t>(57), std::make_shared<int>(1), model}) {
    refuses<std::invalid_argument>([&] { model->prepare_input(event); }, "prepare_input got ");
    refuses<std::logic_error>([&] { model->predict(); }, "predict called before prepare_input");
    refuses<std::logic_error>([&] { model->read_result(&result); }, "read_result called before predict");
  }
  refuses<std::invalid_argument>([&] { model->prepare_input(std::vector<std::int32_t>(56)); }, "a vector of 56; expected 57 codes");
  refuses<std::invalid_argument>([&] { model->prepare_input(std::vector<std::uint64_t>{}); }, "a vector of 0; expected 19 words");
  refuses<std::invalid_argument>([&] { model->prepare_input(static_cast<const std::int32_t *>(nullptr)); }, "a null pointer");
  refuses<std::invalid_argument>([&] { model->prepare_input(static_cast<std::uint64_t *>(nullptr)); }, "a null pointer");
  model->prepare_input(codes);
  refuses<std::logic_error>([&] { model->read_result(&result); }, "read_result called before predict");
  model->predict();
  std::int32_t of_other_sign = 0;
  for (const std::any &place : std::vector<std::any>{std::any(), score, &of_other_sign, &real[0], std::string()}) {
    refuses<std::invalid_argument>([&] { model->read_result(place); }, "read_result got ");
  }
  refuses<std::invalid_argument>([&] { model->read_result(static_cast<ad40::Result *>(nullptr)); }, "a null pointer");
  result = {};
  model->read_result(&result);
  require(result.score == score, "the answer stays after a refused place");
}

// PATH PART: the loader refuses PATH, and its message names the path and holds PART.
void refused(const Arguments &a) {
  refuses<ad40::LoadError>([&] { ad40::ModelLoader loader(a.at(0)); }, a.at(0) + ": ");
  refuses<ad40::LoadError>([&] { ad40::ModelLoader loader(a.at(0)); }, a.at(1));
}

// LIBRARY COPY: copies cut at many lengths, and copies with one bit turned, beside the true checksum.
void damaged(const Arguments &a) {
  const auto whole = read<char>(a.at(0));
  const auto write = [&](const std::vector<char> &bytes) {
    std::ofstream(a.at(1), std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  };
  for (std::size_t i = 0; i < 32; ++i) {  // no checksum beside it
    const std::size_t length = whole.size() * i / 32;
    write({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)});
    refuses<ad40::LoadError>([&] { ad40::ModelLoader loader(a.at(1)); }, length < 64 ? "too few" : "cut short");
  }
  const auto checksum = read<char>(a.at(0) + ".sha256");
  std::ofstream(a.at(1) + ".sha256").write(checksum.data(), static_cast<std::streamsize>(checksum.size()));
  write(whole);
  ad40::ModelLoader{a.at(1)};
  for (std::size_t i = 0; i < 32; ++i) {
    auto turned = whole;
    auto &byte = turned[i < 16 ? i * 4 : (whole.size() - 1) * (i - 15) / 16];
    byte = static_cast<char>(byte ^ (1 << i % 8));
    write(turned);
    refuses<ad40::LoadError>([&] { ad40::ModelLoader loader(a.at(1)); }, a.at(1));
  }
}

// LIBRARY: the C interface.
void c_interface(const Arguments &a) {
  const ad40::ModelLoader loader(a.at(0));
  const auto batch = loader.symbol<decltype(ad40_score_batch)>("ad40_score_batch");
  const auto from_words = loader.symbol<decltype(ad40_score_words)>("ad40_score_words");
  const auto one = loader.symbol<decltype(ad40_score)>("ad40_score");
  const auto seeds = loader.symbol<decltype(ad40_seeds)>("ad40_seeds");
  const auto check = loader.symbol<decltype(ad40_check)>("ad40_check");
  const auto text = loader.symbol<decltype(ad40_error_text)>("ad40_error_text");
  const auto count = loader.symbol<decltype(ad40_seed_count)>("ad40_seed_count")();
  const auto threshold = loader.symbol<decltype(ad40_seed_threshold)>("ad40_seed_threshold");
  const auto seed_name = loader.symbol<decltype(ad40_seed_name)>("ad40_seed_name");
  std::int32_t codes[114] = {};
  std::uint32_t out[2] = {7, 7};
  require(batch(nullptr, 0, nullptr) == AD40_OK && from_words(nullptr, 0, nullptr) == AD40_OK, "no events, no work");
  require(batch(nullptr, 1, out) == AD40_NULL && batch(codes, 1, nullptr) == AD40_NULL, "null pointers");
  require(one(nullptr, out) == AD40_NULL && from_words(nullptr, 1, out) == AD40_NULL, "null pointers");
  require(out[0] == 7, "nothing written on an error");
  require(one(codes, out) == AD40_OK && out[0] == 0, "the empty event");
  std::size_t where = 99;
  require(check(codes, 2, &where) == AD40_OK && where == 99 && check(nullptr, 0, nullptr) == AD40_OK, "codes inside");
  codes[57 + 5] = 144;
  require(check(codes, 2, &where) == AD40_RANGE && where == 57 + 5, "where a code is outside");
  require(check(codes, 2, nullptr) == AD40_RANGE && check(nullptr, 1, &where) == AD40_NULL, "check without a place");
  codes[57 + 5] = -1;
  require(check(codes, 2, &where) == AD40_RANGE, "a negative code of an unsigned field");
  require(count > 0 && seed_name(count) == nullptr && threshold(count) == 0, "no seed beyond the last");
  for (std::uint32_t bit = 0; bit < count; ++bit) {
    const std::uint32_t scores[2] = {threshold(bit) - 1, threshold(bit)};
    require(seed_name(bit) && seeds(scores, nullptr, 2, out) == AD40_OK, "seeds of two scores");
    require(!(out[0] >> bit & 1) && (out[1] >> bit & 1), "seed " + std::to_string(bit) + " fires from its threshold on");
  }
  const std::uint16_t bx[2] = {3563, 3564};
  const std::uint32_t scores[2] = {0, 0};
  require(seeds(scores, bx, 1, out) == AD40_OK && seeds(scores, bx, 2, out) == AD40_RANGE, "the end of the orbit");
  require(std::string(text(AD40_RANGE)) == "a value is outside its range" && text(99) != nullptr, "texts of errors");
}

// LIBRARY CODES SCORES: many threads, one open library.
void threads(const Arguments &a) {
  const ad40::ModelLoader loader(a.at(0));
  const auto codes = read<std::int32_t>(a.at(1));
  const auto expected = read<std::uint32_t>(a.at(2));
  const auto batch = loader.symbol<decltype(ad40_score_batch)>("ad40_score_batch");
  std::vector<std::vector<std::uint32_t>> scores(4, std::vector<std::uint32_t>(expected.size()));
  std::vector<std::thread> running;
  for (auto &s : scores) running.emplace_back([&] { batch(codes.data(), expected.size(), s.data()); });
  for (auto &thread : running) thread.join();
  for (const auto &s : scores) require(s == expected, "the scores of every thread");
}

}  // namespace

int main(int argc, char **argv) {
  const std::map<std::string, void (*)(const Arguments &)> checks = {
      {"agree", agree},     {"outlive", outlive},         {"types", types},    {"refused", refused},
      {"damaged", damaged}, {"c_interface", c_interface}, {"threads", threads}};
  try {
    checks.at(argc > 1 ? argv[1] : "")({argv + std::min(argc, 2), argv + argc});
    std::puts("holds");
    return 0;
  } catch (const std::exception &error) {
    std::puts(error.what());
    return 1;
  }
}
