// Tells ThreadSanitizer of Abseil's mutexes, which it cannot see: the system's library was built without it, and all of
// attnd and gRPC locks through it. A shared library ahead of Abseil's, whose functions stand before those of the same
// name there and call them between annotations.
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <cstdlib>
#include <string>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

#define ATTND_TEXT_OF_(name) #name
#define ATTND_TEXT_OF(name) ATTND_TEXT_OF_(name)

namespace absl {
ABSL_NAMESPACE_BEGIN
namespace {

// Abseil's own function: `begin` and `end` are what its mangled name has around the inline namespace.
template <typename Function>
Function* Real(const char* begin, const char* end) {
  const std::string space = ATTND_TEXT_OF(ABSL_OPTION_INLINE_NAMESPACE_NAME);
  const std::string name = begin + std::to_string(space.size()) + space + end;
  void* const found = dlsym(RTLD_NEXT, name.c_str());
  if (found == nullptr) std::abort();
  return reinterpret_cast<Function*>(found);
}

#define ATTND_TIMEOUT "NS0_24synchronization_internal13KernelTimeoutE"

}  // namespace

using synchronization_internal::KernelTimeout;

void Mutex::Lock() {
  static auto* const real = Real<void(Mutex*)>("_ZN4absl", "5Mutex4LockEv");
  __tsan_mutex_pre_lock(this, 0);
  real(this);
  __tsan_mutex_post_lock(this, 0, 0);
}

void Mutex::Unlock() {
  static auto* const real = Real<void(Mutex*)>("_ZN4absl", "5Mutex6UnlockEv");
  __tsan_mutex_pre_unlock(this, 0);
  real(this);
  __tsan_mutex_post_unlock(this, 0);
}

bool Mutex::TryLock() {
  static auto* const real = Real<bool(Mutex*)>("_ZN4absl", "5Mutex7TryLockEv");
  __tsan_mutex_pre_lock(this, __tsan_mutex_try_lock);
  const bool locked = real(this);
  __tsan_mutex_post_lock(this, __tsan_mutex_try_lock | (locked ? 0 : __tsan_mutex_try_lock_failed), 0);
  return locked;
}

void Mutex::ReaderLock() {
  static auto* const real = Real<void(Mutex*)>("_ZN4absl", "5Mutex10ReaderLockEv");
  __tsan_mutex_pre_lock(this, __tsan_mutex_read_lock);
  real(this);
  __tsan_mutex_post_lock(this, __tsan_mutex_read_lock, 0);
}

void Mutex::ReaderUnlock() {
  static auto* const real = Real<void(Mutex*)>("_ZN4absl", "5Mutex12ReaderUnlockEv");
  __tsan_mutex_pre_unlock(this, __tsan_mutex_read_lock);
  real(this);
  __tsan_mutex_post_unlock(this, __tsan_mutex_read_lock);
}

// Waits with the mutex held for writing, as nobody here waits otherwise.
bool Mutex::AwaitCommon(const Condition& condition, KernelTimeout timeout) {
  static auto* const real = Real<bool(Mutex*, const Condition&, KernelTimeout)>(
      "_ZN4absl", "5Mutex11AwaitCommonERKNS0_9ConditionE" ATTND_TIMEOUT);
  __tsan_mutex_pre_unlock(this, 0);
  __tsan_mutex_post_unlock(this, 0);
  __tsan_mutex_pre_lock(this, 0);
  const bool met = real(this, condition, timeout);
  __tsan_mutex_post_lock(this, 0, 0);
  return met;
}

bool Mutex::LockWhenCommon(const Condition& condition, KernelTimeout timeout, bool write) {
  static auto* const real = Real<bool(Mutex*, const Condition&, KernelTimeout, bool)>(
      "_ZN4absl", "5Mutex14LockWhenCommonERKNS0_9ConditionE" ATTND_TIMEOUT "b");
  const unsigned flags = write ? 0 : __tsan_mutex_read_lock;
  __tsan_mutex_pre_lock(this, flags);
  const bool met = real(this, condition, timeout, write);
  __tsan_mutex_post_lock(this, flags, 0);
  return met;
}

bool CondVar::WaitCommon(Mutex* mutex, KernelTimeout timeout) {
  static auto* const real =
      Real<bool(CondVar*, Mutex*, KernelTimeout)>("_ZN4absl", "7CondVar10WaitCommonEPNS0_5MutexE" ATTND_TIMEOUT);
  __tsan_mutex_pre_unlock(mutex, 0);
  __tsan_mutex_post_unlock(mutex, 0);
  __tsan_mutex_pre_lock(mutex, 0);
  const bool timed_out = real(this, mutex, timeout);
  __tsan_mutex_post_lock(mutex, 0, 0);
  return timed_out;
}

void Notification::Notify() {
  static auto* const real = Real<void(Notification*)>("_ZN4absl", "12Notification6NotifyEv");
  __tsan_release(this);
  real(this);
}

void Notification::WaitForNotification() const {
  static auto* const real = Real<void(const Notification*)>("_ZNK4absl", "12Notification19WaitForNotificationEv");
  real(this);
  __tsan_acquire(const_cast<Notification*>(this));
}

bool Notification::WaitForNotificationWithTimeout(Duration timeout) const {
  static auto* const real = Real<bool(const Notification*, Duration)>(
      "_ZNK4absl", "12Notification30WaitForNotificationWithTimeoutENS0_8DurationE");
  const bool notified = real(this, timeout);
  if (notified) __tsan_acquire(const_cast<Notification*>(this));
  return notified;
}

ABSL_NAMESPACE_END
}  // namespace absl
