// Included first everywhere under AddressSanitizer: Abseil's headers must not take notice of it, for they would lay out
// and poison hash tables otherwise than the library, which was built without it.
#ifndef ATTND_TESTS_ASAN_ABSEIL_H_
#define ATTND_TESTS_ASAN_ABSEIL_H_

#include "absl/base/config.h"
#undef ABSL_HAVE_ADDRESS_SANITIZER
#undef ABSL_HAVE_LEAK_SANITIZER

#endif  // ATTND_TESTS_ASAN_ABSEIL_H_
