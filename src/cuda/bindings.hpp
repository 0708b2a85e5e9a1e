// What the bindings of ntkfast._cuda share.
#pragma once

#include <pybind11/pybind11.h>

void register_contraction(pybind11::module_& module);
void register_gram(pybind11::module_& module);
void register_images(pybind11::module_& module);
void register_product(pybind11::module_& module);
