// The codec of tensors: every rule broken once, and both forms of every datatype read.
#include "server/rpc/oip_tensors.h"

#include <functional>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "tests/server/rpc/oip_requests.h"

namespace attnd::oip {
namespace {

const std::vector<OipInputSpec> kSpecs = {{"text", {OipType::kBytes}},
                                          {"ids", {OipType::kInt32, OipType::kInt64}},
                                          {"values", {OipType::kFp32}},
                                          {"mask", {OipType::kBool}}};

TEST(OipTensors, RawAndTypedAreTheSame) {
  ModelInferRequest raw, typed;
  AddRaw(raw, "text", "BYTES", {2, 1}, Framed({"", std::string("a\0b", 3)}));
  AddRaw(raw, "ids", "INT64", {3}, Bytes<int64_t>({-1, 0, 2147483647}));
  AddRaw(raw, "values", "FP32", {1, 2}, Bytes<float>({0.5f, -3}));
  AddRaw(raw, "mask", "BOOL", {3}, Bytes<uint8_t>({1, 0, 1}));
  auto* text = Add(typed, "text", "BYTES", {2, 1})->mutable_contents();
  text->add_bytes_contents("");
  text->add_bytes_contents(std::string("a\0b", 3));
  auto* ids = Add(typed, "ids", "INT32", {3})->mutable_contents();
  for (int id : {-1, 0, 2147483647}) ids->add_int_contents(id);
  auto* values = Add(typed, "values", "FP32", {1, 2})->mutable_contents();
  for (float value : {0.5f, -3.0f}) values->add_fp32_contents(value);
  auto* mask = Add(typed, "mask", "BOOL", {3})->mutable_contents();
  for (bool value : {true, false, true}) mask->add_bool_contents(value);

  for (const ModelInferRequest* request : {&raw, &typed}) {
    const auto inputs = OipInputs::Read(*request, kSpecs);
    ASSERT_TRUE(inputs.ok()) << inputs.status();
    EXPECT_EQ(inputs->Find("text")->ByteStrings().value(),
              (std::vector<absl::string_view>{"", absl::string_view("a\0b", 3)}));
    EXPECT_EQ(inputs->Find("text")->shape(), (std::vector<int64_t>{2, 1}));
    EXPECT_EQ(inputs->Find("ids")->Ints().value(), (std::vector<int32_t>{-1, 0, 2147483647}));
    EXPECT_EQ(inputs->Find("values")->Floats(), (std::vector<float>{0.5f, -3}));
    EXPECT_EQ(inputs->Find("mask")->Bools(), (std::vector<uint8_t>{1, 0, 1}));
    EXPECT_EQ(inputs->Find("other"), nullptr);
  }
}

// As KServe's InferInput.set_data_from_numpy makes them.
TEST(OipTensors, ParametersOfTheHttpFormChangeNothing) {
  ModelInferRequest request;
  AddRaw(request, "ids", "INT32", {2}, Bytes<int32_t>({3, 4}));
  auto& parameters = *request.mutable_inputs(0)->mutable_parameters();
  parameters["binary_data_size"].set_int64_param(8);
  parameters["binary_data"].set_bool_param(true);
  const auto inputs = OipInputs::Read(request, kSpecs);
  ASSERT_TRUE(inputs.ok()) << inputs.status();
  EXPECT_EQ(inputs->Find("ids")->Ints().value(), (std::vector<int32_t>{3, 4}));
}

// What is wrong, and how it is told.
struct Broken {
  std::string field, words;
  std::function<void(ModelInferRequest&)> make;
};

class OipTensorsBroken : public testing::TestWithParam<Broken> {};

TEST_P(OipTensorsBroken, NamesTheTensorAndBothFigures) {
  ModelInferRequest request;
  GetParam().make(request);
  absl::Status status = OipInputs::Read(request, kSpecs).status();
  if (status.ok()) {  // the framing and the range are looked at when the values are read
    const auto inputs = OipInputs::Read(request, kSpecs);
    if (inputs->Find("text") != nullptr) status = inputs->Find("text")->ByteStrings().status();
    if (inputs->Find("ids") != nullptr) status = inputs->Find("ids")->Ints().status();
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), GetParam().field + ": " + GetParam().words);
}

INSTANTIATE_TEST_SUITE_P(
    Rules, OipTensorsBroken,
    testing::Values(
        Broken{"inputs", "the model takes text, ids, values, mask", [](ModelInferRequest&) {}},
        Broken{"inputs[0].name", "no such input; the model takes text, ids, values, mask",
               [](ModelInferRequest& r) { AddRaw(r, "secret", "FP32", {1}, "1234"); }},
        Broken{"inputs[1].name", "values is there twice",
               [](ModelInferRequest& r) {
                 AddRaw(r, "values", "FP32", {1}, "1234");
                 AddRaw(r, "values", "FP32", {1}, "1234");
               }},
        Broken{"inputs[0].datatype", "ids takes INT32 or INT64",
               [](ModelInferRequest& r) { AddRaw(r, "ids", "FP32", {1}, "1234"); }},
        Broken{"inputs[0].shape", "ids has 0 dimensions; 1 to 8 are possible",
               [](ModelInferRequest& r) { AddRaw(r, "ids", "INT32", {}, "1234"); }},
        Broken{"inputs[0].shape", "ids has 9 dimensions; 1 to 8 are possible",
               [](ModelInferRequest& r) { AddRaw(r, "ids", "INT32", {1, 1, 1, 1, 1, 1, 1, 1, 1}, "1234"); }},
        Broken{"inputs[0].shape", "ids has shape [2, -1]; every dimension must be at least 1",
               [](ModelInferRequest& r) { AddRaw(r, "ids", "INT32", {2, -1}, "12345678"); }},
        Broken{"inputs[0].shape", "ids has shape [0]; every dimension must be at least 1",
               [](ModelInferRequest& r) { AddRaw(r, "ids", "INT32", {0}, ""); }},
        Broken{"inputs[0].shape", "ids has shape [4294967296, 4294967296], more elements than there can be",
               [](ModelInferRequest& r) { AddRaw(r, "ids", "INT32", {1LL << 32, 1LL << 32}, "1234"); }},
        Broken{"inputs[0].shape", "ids has shape [2305843009213693952], more elements than there can be",
               [](ModelInferRequest& r) { AddRaw(r, "ids", "INT64", {1LL << 61}, "12345678"); }},
        Broken{"raw_input_contents[0]", "ids has 7 bytes; its shape [2] of INT32 needs 8",
               [](ModelInferRequest& r) { AddRaw(r, "ids", "INT32", {2}, "1234567"); }},
        Broken{"raw_input_contents[0]", "mask has 3 bytes; its shape [2] of BOOL needs 2",
               [](ModelInferRequest& r) { AddRaw(r, "mask", "BOOL", {2}, "123"); }},
        Broken{"raw_input_contents", "2 entries for 1 inputs; one an input, in order",
               [](ModelInferRequest& r) {
                 AddRaw(r, "ids", "INT32", {1}, "1234");
                 r.add_raw_input_contents("more");
               }},
        Broken{"inputs[1].contents", "raw_input_contents and contents exclude each other in one request",
               [](ModelInferRequest& r) {
                 AddRaw(r, "ids", "INT32", {1}, "1234");
                 Add(r, "values", "FP32", {1})->mutable_contents()->add_fp32_contents(1);
                 r.add_raw_input_contents("1234");
               }},
        Broken{"inputs[0].contents", "values has 2 elements in fp32_contents; its shape [3] needs 3",
               [](ModelInferRequest& r) {
                 auto* contents = Add(r, "values", "FP32", {3})->mutable_contents();
                 contents->add_fp32_contents(1);
                 contents->add_fp32_contents(2);
               }},
        Broken{"inputs[0].contents", "values has 0 elements in fp32_contents; its shape [3] needs 3",
               [](ModelInferRequest& r) { Add(r, "values", "FP32", {3}); }},
        Broken{"inputs[0].contents", "ids is INT64: only int64_contents may be set",
               [](ModelInferRequest& r) { Add(r, "ids", "INT64", {1})->mutable_contents()->add_int_contents(1); }},
        Broken{"inputs[0].parameters", "ids: tensors take no parameters; shared memory is not supported",
               [](ModelInferRequest& r) {
                 auto* input = Add(r, "ids", "INT32", {1});
                 (*input->mutable_parameters())["shared_memory_region"].set_string_param("x");
               }},
        Broken{"inputs[0].parameters.compression", "ids: unknown; tensors take no parameters",
               [](ModelInferRequest& r) {
                 auto* input = Add(r, "ids", "INT32", {1});
                 (*input->mutable_parameters())["compression"].set_string_param("x");
               }},
        Broken{"inputs[0].parameters", "ids: unknown; tensors take no parameters",
               [](ModelInferRequest& r) {
                 auto* input = Add(r, "ids", "INT32", {1});
                 (*input->mutable_parameters())["not a name"].set_string_param("x");
               }},
        Broken{"raw_input_contents[0]", "text has 3 bytes; its 1 elements need at least 4 bytes each",
               [](ModelInferRequest& r) { AddRaw(r, "text", "BYTES", {1}, "abc"); }},
        Broken{
            "raw_input_contents[0]",
            "text: BYTES are a 4-byte length and the bytes, per element; element 1 of 2 says 9 bytes, 9 bytes are left",
            [](ModelInferRequest& r) {
              AddRaw(r, "text", "BYTES", {2}, Framed({"ab"}) + Framed({"123456789"}).substr(0, 9));
            }},
        Broken{"raw_input_contents[0]",
               "text: BYTES are a 4-byte length and the bytes, per element; element 1 of 2 has no length, 0 bytes are "
               "left",
               [](ModelInferRequest& r) { AddRaw(r, "text", "BYTES", {2}, Framed({"abcdefgh"})); }},
        Broken{"raw_input_contents[0]", "text has 5 bytes after its 1 elements",
               [](ModelInferRequest& r) { AddRaw(r, "text", "BYTES", {1}, Framed({"ab", "c"})); }},
        Broken{"inputs[0]", "ids holds 2147483648 at element 1, beyond 32 bits",
               [](ModelInferRequest& r) { AddRaw(r, "ids", "INT64", {2}, Bytes<int64_t>({1, 1LL << 31})); }}),
    // Names that stay the same: a case without one is called by its bytes, pointers among them.
    [](const testing::TestParamInfo<Broken>& info) {
      std::string name = absl::StrCat(info.param.field, info.index);
      std::erase_if(name, [](char c) { return !absl::ascii_isalnum(c); });
      return name;
    });

TEST(OipOutputs, OneIsTheDefault) {
  constexpr absl::string_view kKnown[] = {"a", "b", "c"};
  ModelInferRequest request;
  EXPECT_EQ(ReadOipOutputs(request, kKnown, 1).value(), (std::vector<bool>{false, true, false}));
  request.add_outputs()->set_name("c");
  request.add_outputs()->set_name("b");
  EXPECT_EQ(ReadOipOutputs(request, kKnown, 1).value(), (std::vector<bool>{false, true, true}));
  request.add_outputs()->set_name("c");
  EXPECT_EQ(ReadOipOutputs(request, kKnown, 1).status().message(), "outputs[2].name: c is asked for twice");
  request.mutable_outputs(2)->set_name("secret");
  EXPECT_EQ(ReadOipOutputs(request, kKnown, 1).status().message(),
            "outputs[2].name: no such output; the model gives a, b, c");
  request.mutable_outputs(2)->set_name("a");
  (*request.mutable_outputs(2)->mutable_parameters())["classification"].set_int64_param(3);
  EXPECT_EQ(ReadOipOutputs(request, kKnown, 1).status().message(),
            "outputs[2].parameters: a: classification and shared memory are not supported");
}

TEST(OipOutputs, AreZerosOfTheirShape) {
  ModelInferResponse response;
  char* const first = AddOipOutput("x", OipType::kFp32, {2, 3}, response);
  AddOipOutput("y", OipType::kInt32, {4}, response);
  EXPECT_EQ(response.raw_output_contents(0), std::string(24, '\0'));
  EXPECT_EQ(first, response.raw_output_contents(0).data());
  EXPECT_EQ(response.outputs(1).datatype(), "INT32");
  EXPECT_EQ(OipBytes(OipType::kFp32, {1LL << 40, 1LL << 40}), std::numeric_limits<int64_t>::max());
}

}  // namespace
}  // namespace attnd::oip
