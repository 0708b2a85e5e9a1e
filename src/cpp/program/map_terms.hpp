// Makes the numbers of a MapTable from those of a table.
#pragma once

#include <vector>

#include "program/dual_table.hpp"

namespace ntkfast {

template <class T>
struct MapTerms {
  std::vector<MapTerm> orders;
  std::vector<T> numbers;
};

// What is left out of a series adds up to `left_out` at most.
template <class T>
MapTerms<T> map_terms(const DualTable::Data& data, double left_out);

}  // namespace ntkfast
