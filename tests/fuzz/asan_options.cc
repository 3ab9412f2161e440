// Abseil's containers poison their empty slots where their headers see AddressSanitizer, but the library, built without
// it, does not lift that again.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "allow_user_poisoning=0"; }
