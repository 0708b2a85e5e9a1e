// The loop over a map of an activation that is given by a table; map_table_step.cpp.
#pragma once

#include "cpu/isa/steps.hpp"

namespace ntkfast::cpu::NTKFAST_ISA {

// Step::table of its steps is a MapTable.
template <class T>
StepFunction<T> map_table_function(bool signed_rho, bool tau);

}  // namespace ntkfast::cpu::NTKFAST_ISA
