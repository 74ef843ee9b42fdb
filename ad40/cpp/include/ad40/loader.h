// Loads model libraries. Several live side by side: each is opened with names of its own (RTLD_LOCAL).
//
//   ad40::ModelLoader loader("lib/ad40_v1_1.0.so");
//   std::shared_ptr<ad40::Model> model = loader.load_model();   // keeps the library open, also without the loader
//
// Link with ${CMAKE_DL_LIBS} (-ldl). Header only.
#ifndef AD40_LOADER_H
#define AD40_LOADER_H

#include <dlfcn.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "ad40/c_api.h"
#include "ad40/library_file.h"
#include "ad40/model.h"

namespace ad40 {

// A library that cannot be loaded. The message names the file and the reason.
class LoadError : public std::runtime_error {
 public:
  LoadError(const std::string &path, const std::string &reason) : std::runtime_error(path + ": " + reason) {}
};

class ModelLoader {
 public:
  // path: a file; a name without a slash is looked for in the folders of LD_LIBRARY_PATH too. When PATH.sha256 is
  // beside it, the file must agree with it. Throws LoadError.
  explicit ModelLoader(const std::string &path) : path_(find(path)) {
    check_file();
    // own file handle of dlopen: closed by the last of the loader and its models
    handle_ = std::shared_ptr<void>(dlopen(path_.c_str(), RTLD_LAZY | RTLD_LOCAL), [](void *handle) {
      if (handle) dlclose(handle);
    });
    if (!handle_) throw LoadError(path_, std::string("cannot be opened: ") + last_error());
    const auto abi = symbol<std::int32_t()>("ad40_abi");
    if (abi() != AD40_ABI) {
      throw LoadError(path_, "has interface " + std::to_string(abi()) + "; expected " + std::to_string(AD40_ABI));
    }
    create_ = symbol<Model *()>("create_model");
    destroy_ = symbol<void(Model *)>("destroy_model");
  }

  // A new model; it may outlive the loader.
  std::shared_ptr<Model> load_model() const {
    Model *model = create_();
    if (!model) throw LoadError(path_, "made no model: out of memory");
    return std::shared_ptr<Model>(model, [handle = handle_, destroy = destroy_](Model *m) { destroy(m); });
  }

  const std::string &path() const { return path_; }
  std::string name() const { return text("ad40_model_name"); }
  std::string version() const { return text("ad40_model_version"); }
  std::string network_hash() const { return text("ad40_network_hash"); }
  std::string menu_hash() const { return text("ad40_menu_hash"); }
  std::string spec_hash() const { return text("ad40_spec_hash"); }

  // A function of the library, such as symbol<decltype(ad40_score_batch)>("ad40_score_batch"). Valid as long as
  // the loader or one of its models lives. Throws LoadError when there is none.
  template <class Function>
  Function *symbol(const char *name) const {
    void *address = dlsym(handle_.get(), name);
    if (!address) throw LoadError(path_, std::string("is not an ad40 model library: it has no ") + name);
    return reinterpret_cast<Function *>(address);
  }

 private:
  static bool is_file(const std::string &path) {
    struct stat info;
    return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
  }

  static std::string find(const std::string &name) {
    if (name.find('/') != std::string::npos) return name;
    if (is_file("./" + name)) return "./" + name;  // with a slash dlopen does not search
    const char *folders = std::getenv("LD_LIBRARY_PATH");
    std::istringstream list(folders ? folders : "");
    for (std::string folder; std::getline(list, folder, ':');) {
      if (!folder.empty() && is_file(folder + "/" + name)) return folder + "/" + name;
    }
    return "./" + name;
  }

  static std::vector<unsigned char> read(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw LoadError(path, "cannot be read");
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  static std::string last_error() {
    const char *message = dlerror();
    return message ? message : "no reason given";
  }

  void check_file() const {
    if (!is_file(path_)) throw LoadError(path_, "is not a file");
    const std::vector<unsigned char> bytes = read(path_);
    std::string fault = library_fault(bytes);
    const std::string beside = path_ + ".sha256";
    if (fault.empty() && is_file(beside)) {
      const std::vector<unsigned char> text = read(beside);
      fault = checksum_fault(bytes, std::string(text.begin(), text.end()));
    }
    if (!fault.empty()) throw LoadError(path_, fault);
  }

  std::string text(const char *function) const { return symbol<const char *()>(function)(); }

  std::string path_;
  std::shared_ptr<void> handle_;
  Model *(*create_)() = nullptr;
  void (*destroy_)(Model *) = nullptr;
};

}  // namespace ad40

#endif
