// ModelRepository: loads and unloads models while the server runs.
#ifndef ATTND_SERVER_OPS_MODEL_REPOSITORY_H_
#define ATTND_SERVER_OPS_MODEL_REPOSITORY_H_

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "server/ops/config.h"
#include "server/ops/log.h"
#include "server/ops/metrics.h"
#include "server/ops/model_loader.h"
#include "server/ops/model_registry.h"

namespace attnd {

// A model is a sub-folder of --model-repository, and its name is the folder's; a name that begins with a dot is none.
// Models of --model are there, too: they are loaded at the start, and stay.
//
// Loading and unloading happen one after the other on a thread of the repository's own, in the order they were asked
// for. A model is replaced at once and whole: a call has the old one or the new one, and those that have the old one
// finish with it.
class ModelRepository {
 public:
  using Done = absl::AnyInvocable<void(const absl::Status&) &&>;
  // Told of each name that begins or ends to be served, in order, by one thread at a time.
  using Listener = std::function<void(const std::string& name, bool serving)>;

  // The folder, or "": none; and the precision of its models.
  ModelRepository(std::string folder, Precision precision, const ModelLoader& loader, ModelRegistry& registry,
                  Metrics& metrics, Log& log);
  ~ModelRepository();  // Stop

  // Loads `fixed`, which must all do, and what the folder holds, where what fails is only remembered. Before Start.
  // Errors name the model, the file and the fault.
  absl::Status LoadAll(const std::vector<ModelSpec>& fixed);
  // From now on Load and Unload work.
  void Start(Listener listener);
  // What is being loaded is finished, what waits ends with kUnavailable. Once; also in the destructor.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

  // Loads the sub-folder `name`, again where it is served already. `done` is called once, at once where the request is
  // refused, else by the repository's thread: when it is OK new calls get the model. kNotFound: no such folder;
  // kFailedPrecondition: the name is one of --model's, or there is no repository; kResourceExhausted: too many wait;
  // else what is wrong with the files. The reason stays in Index.
  void Load(const std::string& name, Done done) ABSL_LOCKS_EXCLUDED(mutex_);
  // The same for the end: when it is OK new calls get kNotFound. Calls that are queued or run finish.
  void Unload(const std::string& name, Done done) ABSL_LOCKS_EXCLUDED(mutex_);

  struct Entry {
    std::string name;
    bool ready;
    std::string reason;  // where it is not
  };
  // All models: those served, and the folders that are not, with the reason. By name; the built-in operator is not one.
  std::vector<Entry> Index() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Task {
    bool load;
    std::string name;
    Done done;
  };

  ModelSpec SpecOf(const std::string& name) const;
  // The names of the folder's sub-folders now, sorted.
  std::vector<std::string> Folders() const;
  absl::Status Check(const std::string& name) const;
  void Enqueue(Task task) ABSL_LOCKS_EXCLUDED(mutex_);
  void Work() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status LoadNow(const std::string& name) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status UnloadNow(const std::string& name) ABSL_LOCKS_EXCLUDED(mutex_);
  // Puts the model in place, with its log line and metrics.
  void Publish(ServedModelPtr model);
  void SetReason(const std::string& name, std::string reason) ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string folder_;
  const Precision precision_;
  const ModelLoader& loader_;
  ModelRegistry& registry_;
  Metrics& metrics_;
  Log& log_;
  std::vector<std::string> fixed_;  // names of --model; constant after LoadAll
  Listener listener_;
  std::thread thread_;

  mutable absl::Mutex mutex_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<std::string, std::string> reasons_ ABSL_GUARDED_BY(mutex_);  // why folders are not served
};

}  // namespace attnd

#endif  // ATTND_SERVER_OPS_MODEL_REPOSITORY_H_
