// Heat maps as SVG: one self-contained file, no scripts, no fonts or links to fetch.
#ifndef ATTND_CLIENT_RENDER_SVG_H_
#define ATTND_CLIENT_RENDER_SVG_H_

#include <string>
#include <vector>

#include "client/maps.h"

namespace attnd {

// One map, large, with labels, legend and title. Weights show on hovering, and in the cells where these are large.
std::string MapSvg(const HeadMap& map, const std::string& title, const std::string& subtitle,
                   const std::vector<std::string>& row_labels, const std::vector<std::string>& column_labels);

// Many maps in a grid of `per_line`, each under its name and on its own scale.
std::string GridSvg(const std::vector<HeadMap>& maps, const std::vector<std::string>& names, int per_line,
                    const std::string& title, const std::string& subtitle);

// Text as XML takes it; control characters become spaces.
std::string XmlEscape(const std::string& text);

}  // namespace attnd

#endif  // ATTND_CLIENT_RENDER_SVG_H_
