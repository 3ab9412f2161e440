// The verbs of models with a head against a small server in this process.
#include <gmock/gmock.h>

#include <string>

#include "attnd/v1/attnd.grpc.pb.h"
#include "tests/client/attn_fixture.h"

namespace attnd {
namespace {

using grpc::ServerContext;
using grpc::Status;
using testing::HasSubstr;

// Refuses texts that hold "bad", whole calls at a time.
class FakeTasks : public v1::Attnd::Service {
 public:
  Status Classify(ServerContext*, const v1::ClassifyRequest* request, v1::ClassifyResponse* response) override {
    if (Status status = Check(request->texts()); !status.ok()) return status;
    for (const std::string& text : request->texts()) {
      auto* label = response->add_texts()->add_labels();
      label->set_label(text);
      label->set_score(0.75f);
      if (request->text_pairs_size() > 0) label->set_label(text + "|" + request->text_pairs(0));
    }
    return Status::OK;
  }
  Status Rerank(ServerContext*, const v1::RerankRequest* request, v1::RerankResponse* response) override {
    const int beyond = request->query() == "too many" ? 1 : 0;
    for (int i = request->documents_size() - 1 + beyond; i >= 0; --i) {
      auto* result = response->add_results();
      result->set_index(static_cast<uint32_t>(i));
      result->set_score(0.5f);
    }
    return Status::OK;
  }
  Status TokenClassify(ServerContext*, const v1::TokenClassifyRequest* request,
                       v1::TokenClassifyResponse* response) override {
    if (Status status = Check(request->texts()); !status.ok()) return status;
    for (int i = 0; i < request->texts_size(); ++i) {
      auto* entity = response->add_texts()->add_entities();
      entity->set_label(v1::EntityAggregation_Name(request->aggregation()));
      entity->set_begin(4);
      entity->set_end(7);
      entity->set_text(request->texts(i).substr(4, 3));
    }
    return Status::OK;
  }
  Status FillMask(ServerContext*, const v1::FillMaskRequest* request, v1::FillMaskResponse* response) override {
    if (Status status = Check(request->texts()); !status.ok()) return status;
    for (int i = 0; i < request->texts_size(); ++i) {
      auto* candidate = response->add_texts()->add_masks()->add_candidates();
      candidate->set_token("cat");
      candidate->set_score(0.25f);
      candidate->set_text("the cat sat");
      if (request->texts(i) == "too many") response->add_texts();
    }
    return Status::OK;
  }

 private:
  static Status Check(const google::protobuf::RepeatedPtrField<std::string>& texts) {
    for (int i = 0; i < texts.size(); ++i) {
      if (texts[i].find("bad") == std::string::npos) continue;
      return {grpc::StatusCode::INVALID_ARGUMENT, "texts[" + std::to_string(i) + "]: it is bad"};
    }
    return Status::OK;
  }
};

class TaskVerbsTest : public AttnTest {
 protected:
  std::vector<grpc::Service*> Services() override { return {&service_}; }

  FakeTasks service_;
};

TEST_F(TaskVerbsTest, ClassifyAnswersALineATextAndNamesTheOneAtFault) {
  EXPECT_EQ(Attn({"classify", "--json"}, "good\nbad\nfine\n"), kExitFailed);
  EXPECT_THAT(out_.str(), HasSubstr("\"id\":1,\"labels\":[{\"id\":0,\"label\":\"good\",\"score\":0.75}]"));
  EXPECT_THAT(out_.str(), HasSubstr("\"id\":3,"));
  EXPECT_THAT(out_.str(), testing::Not(HasSubstr("\"id\":2,")));
  EXPECT_THAT(err_.str(), HasSubstr("line 2"));
  EXPECT_THAT(err_.str(), HasSubstr("it is bad"));
}

TEST_F(TaskVerbsTest, PairsAreSplitAtTheTab) {
  EXPECT_EQ(Attn({"classify", "--pairs", "first\tsecond"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("first|second"));
  EXPECT_EQ(Attn({"classify", "--pairs", "no tab"}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("needs a tab"));
}

TEST_F(TaskVerbsTest, RerankPrintsTheBestFirst) {
  EXPECT_EQ(Attn({"rerank", "query", "one", "two"}), kExitOk);
  EXPECT_LT(out_.str().find("two"), out_.str().find("one"));
  EXPECT_EQ(Attn({"rerank", "query", "--json", "-"}, "one\ntwo\nthree\n"), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("\"results\":[{\"index\":2,"));
  EXPECT_EQ(Attn({"rerank"}), kExitUsage);
}

TEST_F(TaskVerbsTest, EntitiesStandOutInTheirText) {
  EXPECT_EQ(Attn({"token-classify", "--aggregation", "max", "the cat sat"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("the [cat]/ENTITY_AGGREGATION_MAX sat"));
  EXPECT_EQ(Attn({"token-classify", "--json", "the cat sat"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("\"text\":\"cat\""));
  EXPECT_EQ(Attn({"token-classify", "--aggregation", "some", "a"}), kExitUsage);
}

TEST_F(TaskVerbsTest, MasksAreFilled) {
  EXPECT_EQ(Attn({"fill-mask", "the [MASK] sat"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("0.250  cat  the cat sat"));
}

TEST_F(TaskVerbsTest, AnswersForWhatWasNotSentAreFaults) {
  EXPECT_EQ(Attn({"fill-mask", "too many"}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("another number of texts"));
  EXPECT_EQ(out_.str(), "");
  EXPECT_EQ(Attn({"rerank", "too many", "one"}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("not sent"));
}

}  // namespace
}  // namespace attnd
