#include "server/rpc/attention_op_v1.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/rpc/replies.h"

namespace attnd {
namespace {

// The elements a shape asks for, or -1 where it is none: negative, or more than a message could hold.
template <typename Shape>
int64_t Elements(const Shape& shape) {
  int64_t elements = 1;
  for (int64_t dimension : shape) {
    if (dimension < 0 || __builtin_mul_overflow(elements, dimension, &elements)) return -1;
  }
  return elements > (int64_t{1} << 40) ? -1 : elements;
}

// The elements of a FloatTensor or BoolTensor, whichever way they came; `Element` is as they lie in `data`.
template <typename Element, typename Tensor>
absl::StatusOr<const Element*> Data(const Tensor& tensor, absl::string_view name) {
  const int64_t elements = Elements(tensor.shape());
  if (elements < 0) {
    return FieldError(absl::StrCat(name, ".shape"), absl::StrCat(name, " has a negative or too large dimension"));
  }
  if (!tensor.data().empty() && tensor.values_size() > 0) {
    return FieldError(name, absl::StrCat(name, " has data and values; one of them is possible"));
  }
  if (tensor.values_size() > 0) {
    if (tensor.values_size() == elements) return reinterpret_cast<const Element*>(tensor.values().data());
    return FieldError(absl::StrCat(name, ".values"),
                      absl::StrCat(name, " has ", tensor.values_size(), " values; its shape needs ", elements));
  }
  const int64_t bytes = elements * int64_t{sizeof(Element)};
  if (static_cast<int64_t>(tensor.data().size()) == bytes)
    return reinterpret_cast<const Element*>(tensor.data().data());
  return FieldError(absl::StrCat(name, ".data"),
                    absl::StrCat(name, " has ", tensor.data().size(), " bytes; its shape needs ", bytes));
}

absl::Span<const int64_t> ShapeOf(const google::protobuf::RepeatedField<int64_t>& shape) {
  return {shape.data(), static_cast<size_t>(shape.size())};
}

// A result of zeros, to be filled in. The product of `shape` is within the server's limits.
float* Allocate(std::initializer_list<int64_t> shape, v1::VectorFormat format, v1::FloatTensor& tensor) {
  int64_t elements = 1;
  for (int64_t dimension : shape) {
    tensor.add_shape(dimension);
    elements *= dimension;
  }
  if (format == v1::VECTOR_FORMAT_FLOATS) {
    tensor.mutable_values()->Resize(static_cast<int>(elements), 0.0f);
    return tensor.mutable_values()->mutable_data();
  }
  tensor.mutable_data()->resize(static_cast<size_t>(elements) * sizeof(float));
  return reinterpret_cast<float*>(tensor.mutable_data()->data());
}

}  // namespace

void ComputeAttentionCall::Run() {
  monitor_.SetModel(context_.models.attention());
  op_.emplace(context_, origin_);
  if (absl::Status status = Prepare(); !status.ok()) return Fail(status);
  op_->Start([this](const absl::Status& status) {
    if (!status.ok()) return Fail(status);
    Answer();
  });
}

absl::Status ComputeAttentionCall::Prepare() {
  if (!v1::VectorFormat_IsValid(request_.format())) return FieldError("format", "no such format");
  AttentionOpShapes shapes{.query = ShapeOf(request_.query().shape()),
                           .key = ShapeOf(request_.key().shape()),
                           .value = ShapeOf(request_.value().shape())};
  if (request_.has_mask()) shapes.mask = ShapeOf(request_.mask().shape());
  const auto query = Data<float>(request_.query(), "query");
  if (!query.ok()) return query.status();
  const auto key = Data<float>(request_.key(), "key");
  if (!key.ok()) return key.status();
  const auto value = Data<float>(request_.value(), "value");
  if (!value.ok()) return value.status();
  if (absl::Status status = op_->SetShapes(shapes, request_.weights(), request_.entropy()); !status.ok()) return status;
  if (request_.has_scale()) {
    if (absl::Status status = op_->SetScale(request_.scale()); !status.ok()) return status;
  }
  AttentionCall& call = op_->call();
  if (request_.has_mask()) {
    const auto mask = Data<uint8_t>(request_.mask(), "mask");
    if (!mask.ok()) return mask.status();
    call.mask = *mask;
  }
  call.query = *query;
  call.key = *key;
  call.value = *value;
  call.causal = request_.causal();
  call.output =
      Allocate({call.batch, call.heads, call.queries, call.head_dim}, request_.format(), *response_.mutable_output());
  if (request_.weights()) {
    call.weights =
        Allocate({call.batch, call.heads, call.queries, call.keys}, request_.format(), *response_.mutable_weights());
  }
  if (request_.entropy()) {
    call.entropy = Allocate({call.batch, call.heads, call.queries}, request_.format(), *response_.mutable_entropy());
  }
  return absl::OkStatus();
}

void ComputeAttentionCall::Answer() {
  op_->EndRespond();
  FillTimings(op_->times(), op_->total(), *response_.mutable_timings());
  monitor_.Observe(op_->times(), 1, op_->tokens());
  Respond(response_);
}

void ComputeAttentionCall::OnCancel() {
  if (op_.has_value()) op_->Cancel();
}

}  // namespace attnd
