// Replies whose texts hold attention maps: the maps may be the most of them by far, and are not copied.
#ifndef ATTND_SERVER_RPC_TEXTS_WRITER_H_
#define ATTND_SERVER_RPC_TEXTS_WRITER_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "attnd/v1/attention.pb.h"
#include "core/base/recycled_buffer.h"
#include "google/protobuf/repeated_field.h"
#include "server/rpc/slice_writer.h"

namespace attnd {

// Writes `response`. `texts` is its field number `field`, taken out on the way; `maps` [texts]: the data of the
// attention of each, or empty where none was asked for.
template <typename Response, typename Text>
void WriteTexts(Response& response, int field, google::protobuf::RepeatedPtrField<Text>& texts,
                std::vector<RecycledBuffer> maps, SliceWriter& writer) {
  if (maps.empty()) return writer.Fields(response);
  google::protobuf::RepeatedPtrField<Text> taken;
  taken.Swap(&texts);
  writer.Fields(response);
  for (int i = 0; i < taken.size(); ++i) {
    Text& text = *taken.Mutable(i);
    const std::unique_ptr<v1::Attention> attention(text.release_attention());
    RecycledBuffer& data = maps[static_cast<size_t>(i)];
    const size_t attention_size =
        attention->ByteSizeLong() + SliceWriter::FieldSize(v1::Attention::kDataFieldNumber, data.size());
    writer.Begin(field, text.ByteSizeLong() + SliceWriter::FieldSize(Text::kAttentionFieldNumber, attention_size));
    writer.Fields(text);
    writer.Begin(Text::kAttentionFieldNumber, attention_size);
    writer.Fields(*attention);
    writer.Bytes(v1::Attention::kDataFieldNumber, std::move(data));
  }
}

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_TEXTS_WRITER_H_
