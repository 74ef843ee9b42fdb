// Is a file safe to give to dlopen? The dynamic linker trusts what it maps: a cut or damaged library makes it crash
// the process. So the file is looked at first, and held against its checksum.
#ifndef AD40_LIBRARY_FILE_H
#define AD40_LIBRARY_FILE_H

#include <cstring>
#include <string>
#include <vector>

#if __has_include(<elf.h>)
#include <elf.h>
#endif

#include "ad40/sha256.h"

namespace ad40 {

// What is wrong with the bytes of a shared library, empty when nothing: a 64-bit ELF library of this machine whose
// headers, sections and segments all lie inside the file. Finds cut files; a flipped bit is the checksum's to find.
inline std::string library_fault(const std::vector<unsigned char> &bytes) {
#if __has_include(<elf.h>)
  const std::size_t size = bytes.size();
  Elf64_Ehdr head;
  if (size < sizeof head) return "it has " + std::to_string(size) + " bytes, too few for a shared library";
  std::memcpy(&head, bytes.data(), sizeof head);
  if (std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0) return "it is not an ELF file";
  const unsigned char order = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
  if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_ident[EI_DATA] != order) return "it is for another machine";
#if defined(__x86_64__)
  if (head.e_machine != EM_X86_64) return "it is for another machine";
#elif defined(__aarch64__)
  if (head.e_machine != EM_AARCH64) return "it is for another machine";
#endif
  if (head.e_type != ET_DYN) return "it is no shared library";
  const auto inside = [size](std::size_t offset, std::size_t length) {
    return offset <= size && length <= size - offset;
  };
  const std::size_t segments = std::size_t{head.e_phnum} * sizeof(Elf64_Phdr);
  const std::size_t sections = std::size_t{head.e_shnum} * sizeof(Elf64_Shdr);
  if (head.e_phnum == 0 || head.e_phentsize != sizeof(Elf64_Phdr)) return "its program headers are damaged";
  if (!inside(head.e_phoff, segments) || !inside(head.e_shoff, sections)) return "it is cut short";
  for (std::size_t i = 0; i < head.e_phnum; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, bytes.data() + head.e_phoff + i * sizeof segment, sizeof segment);
    if (!inside(segment.p_offset, segment.p_filesz)) return "it is cut short";
  }
#else
  if (bytes.empty()) return "it is empty";
#endif
  return {};
}

// Hold the bytes of a library against the text of its checksum file, as `sha256sum` writes it: 64 hex digits first.
inline std::string checksum_fault(const std::vector<unsigned char> &bytes, const std::string &text) {
  const std::string recorded = text.substr(0, 64);
  if (recorded.size() != 64 || recorded.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return "its .sha256 file does not begin with 64 hex digits";
  }
  const std::string found = sha256(bytes);
  return found == recorded ? std::string() : "its SHA-256 is " + found + "; expected the recorded " + recorded;
}

}  // namespace ad40

#endif
