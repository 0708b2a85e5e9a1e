// What the files of this room share. One register_<noun>.cpp per noun.
#pragma once

#include <pybind11/pybind11.h>

void register_errors(pybind11::module_& module);
void register_program(pybind11::module_& module);
void register_table(pybind11::module_& module);
void register_gram(pybind11::module_& module);
void register_product(pybind11::module_& module);
void register_tangent(pybind11::module_& module);
void register_device(pybind11::module_& module);
void register_images(pybind11::module_& module);
void register_operator(pybind11::module_& module);
void register_info(pybind11::module_& module);
