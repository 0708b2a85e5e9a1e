// The numbers of a table (pair_table.hpp) for maps of images.
//
// Where a row of x meets many rows of z, the series are contracted with T_a(t) once. In a map every
// pair has a t and a t' of its own: there the orders a and b, which the series treat alike, are
// taken together, T_a(t) T_b(t') + T_b(t) T_a(t'), and the ends of series that add up to nothing
// are left out, which is most of them: coefficients fall with a + b + k.
#pragma once

#include "program/pair_table.hpp"

namespace ntkfast {

// The orders a >= b, and how many polynomials in x their series have.
struct MapTerm {
  short a, b, terms;
};

template <class T>
struct MapTable : PairTable<T> {
  const MapTerm* orders;
  int count;
  // Of each: [part] of E, then [H or G][part][k].
  const T* numbers;
};

}  // namespace ntkfast
