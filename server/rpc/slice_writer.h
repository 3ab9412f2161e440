// SliceWriter: a protobuf message as slices, so that large fields go to the socket from where they lie.
#ifndef ATTND_SERVER_RPC_SLICE_WRITER_H_
#define ATTND_SERVER_RPC_SLICE_WRITER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/recycled_buffer.h"
#include "google/protobuf/message_lite.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/slice.h"

namespace attnd {

// Writes fields in the order of the calls; a message's fields may come in any.
class SliceWriter {
 public:
  // The fields of `message`.
  void Fields(const google::protobuf::MessageLite& message);
  // The begin of a field that holds `size` bytes, which the next calls write: a message, a string or bytes.
  void Begin(int field, size_t size);
  // A bytes field that is not copied unless it is small. `Container`: RecycledBuffer or std::string.
  template <typename Container>
  void Bytes(int field, Container data);
  // What Begin and then `size` bytes take.
  static size_t FieldSize(int field, size_t size);

  // Everything written, once.
  grpc::ByteBuffer Finish();
  // The same as the field `field` of the message that `others` are the other fields of.
  grpc::ByteBuffer FinishWithin(const google::protobuf::MessageLite& others, int field);

 private:
  void Flush();

  std::string pending_;  // not yet a slice
  std::vector<grpc::Slice> slices_;
  size_t size_ = 0;
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_SLICE_WRITER_H_
