// What a model library exports: create_model and destroy_model, and the C interface. Included once, at the end of a
// generated source, which has named its tables `ad40_network`.
#ifndef AD40_EXPORTS_H
#define AD40_EXPORTS_H

#include <algorithm>
#include <array>
#include <new>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

#include "ad40/c_api.h"
#include "ad40/kernel.h"
#include "ad40/model.h"

namespace {

using ad40::kInputs;
using ad40::kObjects;
using ad40::kernel::FromCodes;
using ad40::kernel::FromWords;

// The value of an any of type T, or null.
template <class T>
const T *held(const std::any &any) {
  return std::any_cast<T>(&any);
}

[[noreturn]] void refuse(const char *call, const std::string &found, const char *expected) {
  throw std::invalid_argument(std::string(ad40_network::name) + " " + ad40_network::version + ": " + call + " got " +
                              found + "; expected " + expected);
}

class EmulatorModel final : public ad40::Model {
 public:
  void prepare_input(std::any input) override {
    state_ = State::empty;
    if (!take<FromCodes>(input, codes_)) {
      if (!take<FromWords>(input, words_)) {
        refuse("prepare_input", input.has_value() ? "type " + std::string(input.type().name()) : "an empty any",
               "57 int32 codes or 19 uint64 words: pointer, std::array or std::vector");
      }
      state_ = State::words;
    } else {
      state_ = State::codes;
    }
  }

  void predict() override {
    if (state_ == State::empty) throw std::logic_error("ad40: predict called before prepare_input");
    if (state_ == State::codes) ad40::kernel::block<1, ad40_network, FromCodes>(codes_.data(), &result_.score);
    if (state_ == State::words) ad40::kernel::block<1, ad40_network, FromWords>(words_.data(), &result_.score);
    result_.seeds = ad40::kernel::seeds<ad40_network>(result_.score);
    state_ = State::done;
  }

  void read_result(std::any result) override {
    if (state_ != State::done) throw std::logic_error("ad40: read_result called before predict");
    using Pair = std::pair<std::uint32_t, std::uint32_t>;
    if (auto score = held<std::uint32_t *>(result)) {
      *not_null(*score) = result_.score;
    } else if (auto both = held<ad40::Result *>(result)) {
      *not_null(*both) = result_;
    } else if (auto pair = held<Pair *>(result)) {
      *not_null(*pair) = Pair(result_.score, result_.seeds);
    } else {
      refuse("read_result", result.has_value() ? "type " + std::string(result.type().name()) : "an empty any",
             "std::uint32_t*, ad40::Result* or std::pair<std::uint32_t, std::uint32_t>*");
    }
  }

 private:
  enum class State { empty, codes, words, done };

  template <class T>
  static T *not_null(T *pointer) {
    if (!pointer) refuse("read_result", "a null pointer", "a place to write to");
    return pointer;
  }

  // Copy the event of a known type; false when the any holds another one.
  template <class Source, class Word, std::size_t N>
  static bool take(const std::any &input, std::array<Word, N> &event) {
    static_assert(N == Source::per_event && std::is_same_v<Word, typename Source::Word>);
    const Word *from = nullptr;
    if (auto constant = held<const Word *>(input)) {
      from = *constant;
    } else if (auto pointer = held<Word *>(input)) {
      from = *pointer;
    } else if (auto array = held<std::array<Word, N>>(input)) {
      from = array->data();
    } else if (auto vector = held<std::vector<Word>>(input)) {
      if (vector->size() != N) {
        refuse("prepare_input", "a vector of " + std::to_string(vector->size()),
               N == kInputs ? "57 codes" : "19 words");
      }
      from = vector->data();
    } else {
      return false;
    }
    if (!from) refuse("prepare_input", "a null pointer", "a pointer to one event");
    std::copy_n(from, N, event.data());
    return true;
  }

  State state_ = State::empty;
  std::array<std::int32_t, kInputs> codes_{};
  std::array<std::uint64_t, kObjects> words_{};
  ad40::Result result_{};
};

template <class Source>
std::int32_t score_events(const typename Source::Word *events, std::size_t n, std::uint32_t *scores) {
  if (n == 0) return AD40_OK;
  if (!events || !scores) return AD40_NULL;
  ad40::kernel::batch<ad40_network, Source>(events, n, scores);
  return AD40_OK;
}

}  // namespace

extern "C" {

AD40_EXPORT ad40::Model *create_model();  // null when there is no memory
AD40_EXPORT void destroy_model(ad40::Model *model);

ad40::Model *create_model() { return new (std::nothrow) EmulatorModel; }
void destroy_model(ad40::Model *model) { delete model; }

int32_t ad40_abi(void) { return AD40_ABI; }
const char *ad40_error_text(int32_t code) {
  switch (code) {
    case AD40_OK: return "no error";
    case AD40_NULL: return "a pointer is null";
    case AD40_RANGE: return "a value is outside its range";
    default: return "no such error code";
  }
}

const char *ad40_model_name(void) { return ad40_network::name; }
const char *ad40_model_version(void) { return ad40_network::version; }
const char *ad40_network_hash(void) { return ad40_network::network_hash; }
const char *ad40_menu_hash(void) { return ad40_network::menu_hash; }
const char *ad40_spec_hash(void) { return ad40_network::spec_hash; }
int32_t ad40_score_fraction(void) { return ad40_network::score_fraction; }
uint32_t ad40_seed_count(void) { return ad40_network::seed_count; }
const char *ad40_seed_name(uint32_t bit) {
  return bit < ad40_network::seed_count ? ad40_network::seed_names[bit] : nullptr;
}
uint32_t ad40_seed_threshold(uint32_t bit) {
  return bit < ad40_network::seed_count ? ad40_network::thresholds[bit] : 0;
}

int32_t ad40_score(const int32_t *codes, uint32_t *score) { return score_events<FromCodes>(codes, 1, score); }
int32_t ad40_score_batch(const int32_t *codes, size_t n, uint32_t *scores) {
  return score_events<FromCodes>(codes, n, scores);
}
int32_t ad40_score_words(const uint64_t *words, size_t n, uint32_t *scores) {
  return score_events<FromWords>(words, n, scores);
}

int32_t ad40_seeds(const uint32_t *scores, const uint16_t *bx, size_t n, uint32_t *bits) {
  if (n == 0) return AD40_OK;
  if (!scores || !bits) return AD40_NULL;
  for (size_t e = 0; bx && e < n; ++e) {
    if (bx[e] >= ad40_network::orbit_bx) return AD40_RANGE;
  }
  for (size_t e = 0; e < n; ++e) {
    bits[e] = ad40::kernel::seeds<ad40_network>(scores[e]);
    if (bx) bits[e] &= ad40::kernel::allowed<ad40_network>(bx[e]);
  }
  return AD40_OK;
}

int32_t ad40_check(const int32_t *codes, size_t n, size_t *where) {
  if (n == 0) return AD40_OK;
  if (!codes) return AD40_NULL;
  for (size_t i = 0; i < n * kInputs; ++i) {
    const auto &field = ad40_network::fields[i % kInputs];
    const int64_t low = -static_cast<int64_t>(field.sign);
    const int64_t high = field.highest;
    if (codes[i] < low || codes[i] > high) {
      if (where) *where = i;
      return AD40_RANGE;
    }
  }
  return AD40_OK;
}

}  // extern "C"

#endif
