// What was built, with what.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace ntkfast {

std::vector<std::pair<std::string, std::string>> build_info();

}  // namespace ntkfast
