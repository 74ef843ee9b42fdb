/* The C interface of a model library, for any language that can call C. No state, no allocation: every function may
 * be called from many threads. Each library carries one model and exports these same names, so open libraries with
 * dlopen(RTLD_LOCAL) and dlsym (Python: ctypes.CDLL) rather than linking to them. */
#ifndef AD40_C_API_H
#define AD40_C_API_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define AD40_ABI 1 /* of this header; ad40_abi() tells that of a library */
#define AD40_EXPORT __attribute__((visibility("default")))

/* What the functions return. */
enum { AD40_OK = 0, AD40_NULL = 1, AD40_RANGE = 2 };

AD40_EXPORT int32_t ad40_abi(void);
AD40_EXPORT const char *ad40_error_text(int32_t code);

/* What the library holds. Hashes are SHA-256, 64 hex digits: of the frozen network, of its menu, of the scales. */
AD40_EXPORT const char *ad40_model_name(void);
AD40_EXPORT const char *ad40_model_version(void);
AD40_EXPORT const char *ad40_network_hash(void);
AD40_EXPORT const char *ad40_menu_hash(void);
AD40_EXPORT const char *ad40_spec_hash(void);
AD40_EXPORT int32_t ad40_score_fraction(void); /* value = score * 2^-fraction */
AD40_EXPORT uint32_t ad40_seed_count(void);
AD40_EXPORT const char *ad40_seed_name(uint32_t bit);   /* NULL beyond the last */
AD40_EXPORT uint32_t ad40_seed_threshold(uint32_t bit); /* fires when score >= threshold; 0 beyond the last */

/* Scores of n events of 57 codes (19 objects x hw_pt, hw_eta, hw_phi), or of 19 words on the links. Exact for any
 * codes, those that no word can hold included; ad40_check finds such. Pointers may be null when n is 0. */
AD40_EXPORT int32_t ad40_score(const int32_t *codes, uint32_t *score); /* of one event */
AD40_EXPORT int32_t ad40_score_batch(const int32_t *codes, size_t n, uint32_t *scores);
AD40_EXPORT int32_t ad40_score_words(const uint64_t *words, size_t n, uint32_t *scores);

/* Seed bits before prescale of n scores. bx: the bunch crossings 0 .. 3563 of the events, where seeds fire only in
 * the ranges of the menu; null: thresholds alone. AD40_RANGE for a bunch crossing outside the orbit. */
AD40_EXPORT int32_t ad40_seeds(const uint32_t *scores, const uint16_t *bx, size_t n, uint32_t *bits);

/* AD40_RANGE when a code is one that its field in the word cannot hold; *where (unless null) is then its index in
 * codes: event = *where / 57, object = *where % 57 / 3, feature = *where % 3. */
AD40_EXPORT int32_t ad40_check(const int32_t *codes, size_t n, size_t *where);

#ifdef __cplusplus
}
#endif

#endif
