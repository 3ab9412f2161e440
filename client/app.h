// attn as a function: arguments and streams in, exit code out.
#ifndef ATTND_CLIENT_APP_H_
#define ATTND_CLIENT_APP_H_

#include <string>
#include <vector>

#include "client/io.h"

namespace attnd {

// `arguments` without the program's name. Returns the exit code (client/channel.h). Sets io.colors by --color.
int RunAttn(const std::vector<std::string>& arguments, Io& io);

}  // namespace attnd

#endif  // ATTND_CLIENT_APP_H_
