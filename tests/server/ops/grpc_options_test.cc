#include "server/ops/grpc_options.h"

#include <gtest/gtest.h>

#include <limits>

namespace attnd {
namespace {

TEST(GrpcOptionsTest, AConnectionAtItsAgeLetsCallsHaveTheirDefaultDeadline) {
  Limits limits;
  EXPECT_EQ(ConnectionGrace(limits), absl::Minutes(11));  // of a generation, which has 10 minutes
  limits.default_generation_deadline = absl::Seconds(5);
  EXPECT_EQ(ConnectionGrace(limits), absl::Minutes(2));  // of the other calls, which have one
  limits.default_generation_deadline = absl::Hours(24);  // the most there may be; gRPC takes milliseconds of 32 bits
  EXPECT_LT(absl::ToInt64Milliseconds(ConnectionGrace(limits)), std::numeric_limits<int>::max());
}

}  // namespace
}  // namespace attnd
