// The page's source files, as embed.cmake puts them into the program.
#ifndef ATTND_CLIENT_TRACE_PAGE_FILES_H_
#define ATTND_CLIENT_TRACE_PAGE_FILES_H_

namespace attnd {

extern const char kTraceHtml[];    // page.html, with {{names}} for what goes in
extern const char kTraceStyle[];   // style.css
extern const char kTraceScript[];  // the scripts, one after the other

}  // namespace attnd

#endif  // ATTND_CLIENT_TRACE_PAGE_FILES_H_
