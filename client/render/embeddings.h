// What becomes of embeddings: JSON lines, a table, an .npy array, a matrix of similarities.
#ifndef ATTND_CLIENT_RENDER_EMBEDDINGS_H_
#define ATTND_CLIENT_RENDER_EMBEDDINGS_H_

#include <memory>
#include <string>
#include <vector>

#include "client/embedder.h"
#include "client/io.h"

namespace attnd {

// Takes the texts in order, failed ones too, then Finish once.
class EmbeddingWriter {
 public:
  virtual ~EmbeddingWriter() = default;
  virtual void Add(const Embedded& embedded) = 0;
  virtual void Finish(const EmbedTotals& totals) = 0;
};

// {"id":1,"tokens":9,"embedding":[...]}; a failed text is {"id":2,"error":"..."}.
std::unique_ptr<EmbeddingWriter> MakeJsonlWriter(std::ostream& out);
// One line a text: number, tokens, the first values, the text.
std::unique_ptr<EmbeddingWriter> MakeTableWriter(std::ostream& out, const Io& io);
// [texts, dimensions] f32; a failed text is a row of NaN. Seeks back to write the count where `out` can, else keeps all
// in memory until Finish.
std::unique_ptr<EmbeddingWriter> MakeNpyWriter(std::ostream& out, bool seekable);
// The cosines of all pairs, at Finish.
std::unique_ptr<EmbeddingWriter> MakeSimilarityWriter(std::ostream& out, const Io& io);

// [rows, rows] of rows [rows][dimensions]; 0 where a vector has no length.
std::vector<std::vector<double>> Cosines(const std::vector<std::vector<float>>& rows);
// The matrix with the texts as labels; cells coloured by the cosine where the terminal can.
std::string SimilarityTable(const std::vector<std::string>& texts, const std::vector<std::vector<double>>& cosines,
                            const Io& io);

}  // namespace attnd

#endif  // ATTND_CLIENT_RENDER_EMBEDDINGS_H_
