#include "server/rpc/slice_writer.h"

#include <google/protobuf/io/coded_stream.h>

#include <utility>

namespace attnd {
namespace {

// Below, a copy costs less than a slice of its own.
constexpr size_t kCopiedBytes = 4096;

using google::protobuf::io::CodedOutputStream;

uint32_t Tag(int field) { return static_cast<uint32_t>(field) << 3 | 2; }  // 2: length-delimited

// A slice that frees its bytes with its last reference.
template <typename Container>
grpc::Slice Own(Container bytes) {
  auto* const owned = new Container(std::move(bytes));
  const auto destroy = [](void* container) { delete static_cast<Container*>(container); };
  return {owned->data(), owned->size(), destroy, owned};
}

}  // namespace

void SliceWriter::Fields(const google::protobuf::MessageLite& message) {
  const size_t before = pending_.size();
  message.AppendToString(&pending_);
  size_ += pending_.size() - before;
}

void SliceWriter::Begin(int field, size_t size) {
  uint8_t bytes[15];
  uint8_t* end = CodedOutputStream::WriteVarint32ToArray(Tag(field), bytes);
  end = CodedOutputStream::WriteVarint64ToArray(size, end);
  pending_.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(end - bytes));
  size_ += static_cast<size_t>(end - bytes);
}

template <typename Container>
void SliceWriter::Bytes(int field, Container data) {
  Begin(field, data.size());
  size_ += data.size();
  if (data.size() < kCopiedBytes) {
    pending_.append(reinterpret_cast<const char*>(data.data()), data.size());
    return;
  }
  Flush();
  slices_.push_back(Own(std::move(data)));
}
template void SliceWriter::Bytes(int, RecycledBuffer);
template void SliceWriter::Bytes(int, std::string);

size_t SliceWriter::FieldSize(int field, size_t size) {
  return CodedOutputStream::VarintSize32(Tag(field)) + CodedOutputStream::VarintSize64(size) + size;
}

void SliceWriter::Flush() {
  if (pending_.empty()) return;
  slices_.push_back(Own(std::exchange(pending_, {})));
}

grpc::ByteBuffer SliceWriter::Finish() {
  Flush();
  return {slices_.data(), slices_.size()};
}

grpc::ByteBuffer SliceWriter::FinishWithin(const google::protobuf::MessageLite& others, int field) {
  Flush();
  SliceWriter outer;
  outer.Fields(others);
  outer.Begin(field, size_);
  outer.Flush();
  slices_.insert(slices_.begin(), outer.slices_.begin(), outer.slices_.end());
  return {slices_.data(), slices_.size()};
}

}  // namespace attnd
