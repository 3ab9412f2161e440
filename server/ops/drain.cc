#include "server/ops/drain.h"

#include <utility>

namespace attnd {

void Drain::Start() {
  Announce();
  absl::MutexLock lock(&mutex_);
  if (started_.exchange(true)) return;
  for (const auto& [id, wake] : wakes_) wake();
  wakes_.clear();
}

int64_t Drain::OnStart(std::function<void()> wake) {
  absl::MutexLock lock(&mutex_);
  const int64_t id = next_id_++;
  if (started()) {
    wake();
  } else {
    wakes_.emplace(id, std::move(wake));
  }
  return id;
}

void Drain::Forget(int64_t id) {
  absl::MutexLock lock(&mutex_);
  wakes_.erase(id);
}

void Drain::CallEnds() {
  if (--in_flight_ > 0 || !started()) return;
  absl::MutexLock lock(&mutex_);  // lets Wait look again
}

bool Drain::Wait(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithDeadline(absl::Condition(+[](Drain* self) { return self->in_flight() == 0; }, this), deadline);
}

}  // namespace attnd
