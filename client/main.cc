// attn: embeddings, attention maps and measurements of an attnd server.
#include <csignal>
#include <iostream>

#include "client/app.h"

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  std::signal(SIGPIPE, SIG_DFL);  // `attn … | head` ends quietly
  attnd::Io io = attnd::SystemIo();
  return attnd::RunAttn(std::vector<std::string>(argv + 1, argv + argc), io);
}
