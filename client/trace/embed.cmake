# Writes the page of `attn trace` as C++: cmake -DFOLDER=... -DOUT=... -DSCRIPTS=a.js,b.js -P embed.cmake
function(literal name out)
  set(text "")
  foreach(file ${ARGN})
    file(READ "${FOLDER}/${file}" part)
    string(APPEND text "${part}\n")
  endforeach()
  set(${out} "const char ${name}[] = R\"~page~(${text})~page~\";\n" PARENT_SCOPE)
endfunction()

string(REPLACE "," ";" scripts "${SCRIPTS}")
literal(kTraceHtml html page.html)
literal(kTraceStyle style style.css)
literal(kTraceScript script ${scripts})
file(WRITE "${OUT}" "// Made by client/trace/embed.cmake.
#include \"client/trace/page_files.h\"

namespace attnd {
${html}${style}${script}
}  // namespace attnd
")
