// Files and folders that a test makes.
#ifndef ATTND_TESTS_TEMP_FILES_H_
#define ATTND_TESTS_TEMP_FILES_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace attnd {

// A path that no other process's tests use. Nothing is made there, and what a test puts there stays.
inline std::string TempPath(const std::string& name) {
  return testing::TempDir() + "/attnd_" + std::to_string(getpid()) + "_" + name;
}

// The bytes of a file; empty where there is none.
inline std::string FileText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A folder of its own, empty at first, removed with the object.
class TempFolder {
 public:
  explicit TempFolder(const std::string& name) : path_(TempPath(name)) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  // Links to all files of `folder`, so that a test can put one of its own beside them.
  void LinkFilesOf(const std::filesystem::path& folder) const {
    for (const auto& file : std::filesystem::directory_iterator(folder)) {
      std::filesystem::create_symlink(file.path(), path_ / file.path().filename());
    }
  }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  const std::filesystem::path path_;
};

}  // namespace attnd

#endif  // ATTND_TESTS_TEMP_FILES_H_
