// The integer arithmetic of a frozen network, for the tables of one generated source. The loops run over a block of N
// events, each value an array of N lanes, so that a compiler turns them into vector instructions; N = 1 is the same
// arithmetic for a single event. Every type is wide enough for every partial sum: the generator proves it.
//
// Everything here is a template over types of the generated source's anonymous namespace and so has internal
// linkage: the tables of two models cannot be mixed up, even when both are linked into one program.
#ifndef AD40_KERNEL_H
#define AD40_KERNEL_H

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "ad40/model.h"

#define AD40_RESTRICT __restrict  // of GCC, Clang and others: the pointers of a call do not overlap

namespace ad40::kernel {

enum class Rounding { trn, rnd, rnd_conv };  // towards minus infinity, half up, half to even
enum class Overflow { wrap, sat };           // modulo 2^width, to the nearest end
enum class Kind { masked_l1, masked_l2, sum_squares, distance, tables, output };  // of score, see ad40/score.py

// x = clip(((clamp(code, low, high) - offset) >> right) * left, min, max); the first clamp changes no result and
// keeps any int32 inside the arithmetic.
template <class Code>
struct Input {
  int index;  // of the 57
  Code low, high, offset;
  int right;
  Code left;
};

// Of an input that is an angle to MET: d = |code - per_met * code of MET|, then the smaller of d and turn - d; the input
// is 0 without MET.
template <class Code>
struct Angle {
  Code turn, per_met;
};

// The inputs of an object: inputs[first] up to inputs[last], and the row of x that is its presence, or -1.
struct Object {
  int slot, first, last, present;
};

template <class Sum>
struct Term {
  int input;
  Sum weight;
};

template <class... Layer>
struct List {};

// An output that is scored, and what it is held against: an input, or an output of the earlier layer.
struct Scored {
  int input, output;
};

// An entry of a table, or the product of two: entries[table + code - lowest] of each output; second output -1: none.
struct Product {
  int output;
  std::size_t table;
  int second;
  std::size_t second_table;
};

struct Field {  // of a word on the links; highest: the largest code, which may be below what the bits can hold
  int shift;
  std::uint32_t mask, sign;
  std::int32_t highest;
};

struct BxRange {
  std::uint32_t seed;
  std::uint16_t first, last;
};

template <class T>
constexpr T clamp(T value, T low, T high) {
  const T raised = value < low ? low : value;
  return raised > high ? high : raised;
}

// A sum with L::shift more fraction bits than the output, to an output code of layer L. Right shifts of negative numbers are
// arithmetic with every compiler that can build this (and by the standard from C++20 on).
template <class L, class Sum>
constexpr Sum quantise(Sum s) {
  if constexpr (L::relu) s = s < 0 ? Sum(0) : s;
  if constexpr (L::slope > 0) s = s < 0 ? static_cast<Sum>(s >> L::slope) : s;  // exact: the sums have these bits more
  if constexpr (L::shift < 0) {
    s = static_cast<Sum>(s * (Sum(1) << -L::shift));
  } else if constexpr (L::shift > 0) {
    constexpr Sum half = Sum(Sum(1) << (L::shift - 1));
    if constexpr (L::rounding == Rounding::rnd) s = static_cast<Sum>(s + half);
    if constexpr (L::rounding == Rounding::rnd_conv) {
      const Sum odd = static_cast<Sum>((s >> L::shift) & 1);
      s = static_cast<Sum>(s + (half - 1));
      s = static_cast<Sum>(s + odd);
    }
    s = static_cast<Sum>(s >> L::shift);
  }
  if constexpr (L::overflow == Overflow::sat) {
    s = clamp<Sum>(s, L::low, L::high);
  } else {  // to an unsigned code of L::width bits, then the sign bit back to its meaning
    constexpr Sum mask = Sum((Sum(1) << L::width) - 1), sign = Sum(L::is_signed ? Sum(1) << (L::width - 1) : 0);
    s = static_cast<Sum>(static_cast<Sum>((s & mask) ^ sign) - sign);
  }
  return s;
}

// One output for N events: quantise(bias + sum of weight * input). The terms are unrolled with their constants, so
// zero weights cost nothing and the sums stay in registers.
template <std::size_t N, class L, std::size_t Row, class Out, std::size_t... T>
inline void neuron([[maybe_unused]] const typename L::Sum (*AD40_RESTRICT x)[N], Out *AD40_RESTRICT y,
                   std::index_sequence<T...>) {
  using Sum = typename L::Sum;
  constexpr std::size_t first = L::first[Row];
  for (std::size_t e = 0; e < N; ++e) {
    Sum sum = L::bias[Row];
    ((sum = static_cast<Sum>(sum + L::terms[first + T].weight * x[L::terms[first + T].input][e])), ...);
    y[e] = static_cast<Out>(quantise<L>(sum));
  }
}

// y = quantise(x @ weight + bias). x: [inputs][N], y: [outputs][N].
template <std::size_t N, class L, class Out, std::size_t... Row>
inline void dense(const typename L::Sum (*x)[N], Out (*y)[N], std::index_sequence<Row...>) {
  (neuron<N, L, Row>(x, y[Row], std::make_index_sequence<L::first[Row + 1] - L::first[Row]>()), ...);
}

// One layer after the other; the codes of each are held in the type in which the next one sums. kept: the codes of the
// layer that the score reads besides the last one.
template <std::size_t N, class Last, class Out>
inline void layers(List<Last>, const typename Last::Sum (*x)[N], Out (*y)[N], Out (*)[N]) {
  dense<N, Last>(x, y, std::make_index_sequence<Last::outputs>());
}
template <std::size_t N, class First, class Second, class... Rest, class Out>
inline void layers(List<First, Second, Rest...>, const typename First::Sum (*x)[N], Out (*y)[N], Out (*kept)[N]) {
  alignas(64) typename Second::Sum z[First::outputs][N];
  dense<N, First>(x, z, std::make_index_sequence<First::outputs>());
  if constexpr (First::kept) {
    for (std::size_t i = 0; i < First::outputs; ++i) {
      for (std::size_t e = 0; e < N; ++e) kept[i][e] = static_cast<Out>(z[i][e]);
    }
  }
  layers<N>(List<Second, Rest...>(), z, y, kept);
}

// Sums of the score for N events. x, here: inputs and masks of presence; y: outputs that are scored; kept: see layers.
template <std::size_t N, class Net, class X, class Total>
inline void sums([[maybe_unused]] const X (*x)[N], [[maybe_unused]] const X (*here)[N], const Total (*y)[N],
                 [[maybe_unused]] const Total (*kept)[N], Total *AD40_RESTRICT total) {
  constexpr bool masked = Net::kind == Kind::masked_l1 || Net::kind == Kind::masked_l2;
  if constexpr (Net::kind == Kind::output) {
    for (std::size_t e = 0; e < N; ++e) total[e] = static_cast<Total>(y[0][e] - Net::lowest);
  } else if constexpr (Net::kind == Kind::tables) {
    for (const Product &p : Net::products) {
      for (std::size_t e = 0; e < N; ++e) {
        std::int64_t entry = Net::entries[p.table + static_cast<std::size_t>(y[p.output][e] - Net::lowest)];
        if (p.second >= 0) {
          entry *= Net::entries[p.second_table + static_cast<std::size_t>(y[p.second][e] - Net::lowest)];
        }
        total[e] = static_cast<Total>(total[e] + entry);
      }
    }
  } else {
    for (const Scored &s : Net::scored) {
      for (std::size_t e = 0; e < N; ++e) {
        Total a = 0;
        if constexpr (masked) a = static_cast<Total>(static_cast<Total>(x[s.input][e]) * Net::up_x);
        if constexpr (Net::kind == Kind::distance) a = static_cast<Total>(kept[s.input][e] * Net::up_x);
        const Total d = static_cast<Total>(a - y[s.output][e] * Net::up_y);
        Total term;
        if constexpr (Net::kind == Kind::masked_l1) {
          term = static_cast<Total>(d < 0 ? -d : d);
        } else {
          term = static_cast<Total>(d * d);
        }
        if constexpr (masked) term = static_cast<Total>(term & static_cast<Total>(here[s.input / 3][e]));
        total[e] = static_cast<Total>(total[e] + term);
      }
    }
  }
}

// Where codes come from: 57 codes of an event, or its 19 words.
struct FromCodes {
  using Word = std::int32_t;
  static constexpr std::size_t per_event = kInputs;
  template <class Net>
  static std::int32_t value(const Word *event, int index) {
    return event[index];
  }
};
struct FromWords {
  using Word = std::uint64_t;
  static constexpr std::size_t per_event = kObjects;
  template <class Net>
  static std::int32_t value(const Word *event, int index) {
    const Field &field = Net::fields[index];
    const std::uint32_t bits = static_cast<std::uint32_t>(event[index / 3] >> field.shift) & field.mask;
    return static_cast<std::int32_t>(bits ^ field.sign) - static_cast<std::int32_t>(field.sign);
  }
};

// Scores of N events.
template <std::size_t N, class Net, class Source>
inline void block(const typename Source::Word *events, std::uint32_t *scores) {
  using X = typename Net::X;
  using Code = typename Net::Code;
  using Total = typename Net::Total;
  alignas(64) X x[Net::rows][N];
  alignas(64) X here[kObjects][N];  // all bits where the object is present, none elsewhere
  alignas(64) std::int32_t pt[N], code[N];
  [[maybe_unused]] alignas(64) Code met[N];    // phi of MET
  [[maybe_unused]] alignas(64) X met_here[N];  // all bits where MET is present
  if constexpr (Net::angles_to_met) {
    for (std::size_t e = 0; e < N; ++e) {
      const typename Source::Word *event = events + e * Source::per_event;
      met[e] = clamp<Code>(Source::template value<Net>(event, 3 * Net::met + 2), -Net::code_max, Net::code_max);
      met_here[e] = static_cast<X>(Source::template value<Net>(event, 3 * Net::met) != 0 ? -1 : 0);
    }
  }
  for (const Object &object : Net::objects) {
    for (std::size_t e = 0; e < N; ++e) {
      pt[e] = Source::template value<Net>(events + e * Source::per_event, 3 * object.slot);
      here[object.slot][e] = static_cast<X>(pt[e] != 0 ? -1 : 0);
    }
    if constexpr (Net::rows > kInputs) {
      for (std::size_t e = 0; object.present >= 0 && e < N; ++e) {
        x[object.present][e] = static_cast<X>(Net::one & here[object.slot][e]);
      }
    }
    for (int i = object.first; i < object.last; ++i) {
      const Input<Code> &in = Net::inputs[i];
      const bool is_pt = in.index == 3 * object.slot;
      for (std::size_t e = 0; !is_pt && e < N; ++e) {
        code[e] = Source::template value<Net>(events + e * Source::per_event, in.index);
      }
      const std::int32_t *from = is_pt ? pt : code;
      if constexpr (Net::angles_to_met) {
        const Angle<Code> &angle = Net::angles[i];
        for (std::size_t e = 0; angle.turn != 0 && e < N; ++e) {
          const Code difference = clamp<Code>(code[e], -Net::code_max, Net::code_max) - met[e] * angle.per_met;
          const Code distance = difference < 0 ? -difference : difference;
          const Code other = angle.turn - distance;
          code[e] = static_cast<std::int32_t>(distance < other ? distance : other);
        }
      }
      for (std::size_t e = 0; e < N; ++e) {
        const Code shifted = (clamp<Code>(from[e], in.low, in.high) - in.offset) >> in.right;
        const X clipped = static_cast<X>(clamp<Code>(shifted * in.left, Net::min, Net::max));
        x[in.index][e] = static_cast<X>(clipped & here[object.slot][e]);
      }
      if constexpr (Net::angles_to_met) {
        for (std::size_t e = 0; Net::angles[i].turn != 0 && e < N; ++e) {
          x[in.index][e] = static_cast<X>(x[in.index][e] & met_here[e]);
        }
      }
    }
  }
  alignas(64) Total y[Net::outputs][N], kept[Net::kept][N];
  layers<N>(typename Net::Layers(), x, y, kept);
  alignas(64) Total total[N] = {};
  sums<N, Net>(x, here, y, kept, total);
  for (std::size_t e = 0; e < N; ++e) scores[e] = static_cast<std::uint32_t>(total[e] >> Net::drop);
}

// Scores of n events. The rest that does not fill a block is padded with empty events.
template <class Net, class Source>
inline void batch(const typename Source::Word *events, std::size_t n, std::uint32_t *scores) {
  constexpr std::size_t kBlock = 64;  // its activations stay in the first-level cache
  constexpr std::size_t kWords = Source::per_event;
  for (; n >= kBlock; n -= kBlock, events += kBlock * kWords, scores += kBlock) {
    block<kBlock, Net, Source>(events, scores);
  }
  if (n >= 8) {
    typename Source::Word padded[kBlock * kWords] = {};
    std::uint32_t out[kBlock];
    std::memcpy(padded, events, n * kWords * sizeof *padded);
    block<kBlock, Net, Source>(padded, out);
    std::memcpy(scores, out, n * sizeof *out);
  } else {
    for (std::size_t e = 0; e < n; ++e) block<1, Net, Source>(events + e * kWords, scores + e);
  }
}

// Seed bits of a score: thresholds alone.
template <class Net>
inline std::uint32_t seeds(std::uint32_t score) {
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < Net::seed_count; ++i) {
    bits |= static_cast<std::uint32_t>(score >= Net::thresholds[i]) << i;
  }
  return bits;
}

// Seeds that may fire in a bunch crossing. A seed without ranges may fire in all.
template <class Net>
inline std::uint32_t allowed(std::uint16_t bx) {
  std::uint32_t bits = Net::seeds_anywhere;
  for (std::size_t i = 0; i < Net::bx_range_count; ++i) {
    const BxRange &range = Net::bx_ranges[i];
    bits |= static_cast<std::uint32_t>(range.first <= bx && bx <= range.last) << range.seed;
  }
  return bits;
}

}  // namespace ad40::kernel

#endif
