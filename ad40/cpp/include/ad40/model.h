// The three-call interface of a Level-1 trigger emulator: prepare_input, predict, read_result through std::any.
// Order and types of the calls are those of CMS's hls4mlEmulator::Model. To hand models to a framework that has
// its own such class, compile the generated source with
//   -DAD40_MODEL_HEADER='"hls4ml/emulator.h"' -DAD40_MODEL_BASE=hls4mlEmulator::Model
#ifndef AD40_MODEL_H
#define AD40_MODEL_H

#include <any>
#include <cstdint>

#ifdef AD40_MODEL_BASE
#include AD40_MODEL_HEADER
#endif

namespace ad40 {

constexpr int kObjects = 19;  // MET, 4 e/gamma, 4 muons, 10 jets
constexpr int kInputs = 57;   // hw_pt, hw_eta, hw_phi of each

// What a model says about one event.
struct Result {
  std::uint32_t score;  // hw_score: value = score * 2^-score_fraction
  std::uint32_t seeds;  // bit i: seed i of the menu, threshold alone: before prescale, in any bunch crossing
};

#ifdef AD40_MODEL_BASE
using Model = AD40_MODEL_BASE;
#else
// One event at a time; an object is used by one thread at a time.
//
// Errors are exceptions, because the three calls of the interface return nothing: std::invalid_argument for a type,
// length or null pointer that a call does not take (the message names what it takes), std::logic_error for a call
// out of order. Both come from the standard library, so that a handler of the caller catches what a library loaded
// by dlopen throws. After an error in prepare_input there is no event, and predict refuses.
class Model {
 public:
  // Codes of one event: const std::int32_t* or std::int32_t* to 57 values, std::array<std::int32_t, 57>,
  // std::vector<std::int32_t>; or its words on the links: const std::uint64_t* or std::uint64_t* to 19 words,
  // std::array<std::uint64_t, 19>, std::vector<std::uint64_t>. What a pointer points to is copied.
  virtual void prepare_input(std::any input) = 0;
  virtual void predict() = 0;
  // Where to write the answer: std::uint32_t* (the score), ad40::Result*, or
  // std::pair<std::uint32_t, std::uint32_t>* (score, seed bits).
  virtual void read_result(std::any result) = 0;
  virtual ~Model() = default;
};
#endif

}  // namespace ad40

#endif
