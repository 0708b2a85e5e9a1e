// The body of the CUDA kernel on the CPU: places of tiles, ragged edges, chunks of the product,
// repaired deficits, mirror images.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "device/gram_job.hpp"
#include "device/gram_tile.hpp"
#include "doctest.h"
#include "emulated_device.hpp"
#include "gram_case.hpp"
#include "table_case.hpp"

namespace {

using gram_case::Kernels;
using gram_case::Program;
using namespace ntkfast::device;

template <class T>
DeviceSide<T> device_side(const HostSide<T>& side) {
  return {side.rows, side.given, side.inverse, side.factor, side.half_norm, side.threshold};
}

// The tables as rows [i0, i1) of the left side contract them.
template <class T>
std::vector<FlatTable<T>> contract(const HostJob<T>& job, std::int64_t i0, std::int64_t i1,
                                   std::vector<std::vector<T>>& contracted) {
  std::vector<FlatTable<T>> tables;
  contracted.resize(static_cast<std::size_t>(job.table_count));
  for (int o = 0; o < job.op_count; ++o) {
    const FlatOp& op = job.ops[o];
    if (op.kind != ntkfast::OpKind::Table) continue;
    auto& numbers = contracted[static_cast<std::size_t>(op.table)];
    for (std::int64_t i = i0; i < i1; ++i) {
      const T t = job.left.table[(op.column + ntkfast::kTablePosition) * job.left.count + i];
      for (int c = 0; c < job.tables[op.table].stride; ++c) {
        numbers.push_back(contracted_number(job.tables[op.table], t, c));
      }
    }
    tables.push_back({job.tables[op.table], numbers.data()});
  }
  return tables;
}

// Both kernels of all outputs in blocks of `edge` rows and columns.
template <class T>
Kernels<T> emulate(const Program& program, const std::vector<T>& x, const std::vector<T>* z,
                   std::int64_t d, std::int64_t edge, ProductKind kind = ProductKind::Plain) {
  const auto n = static_cast<std::int64_t>(x.size()) / d;
  const auto m = z == nullptr ? n : static_cast<std::int64_t>(z->size()) / d;
  const GramJob<T> owner(program, x.data(), n, z == nullptr ? nullptr : z->data(), m, d, true,
                         GramJobOptions{1, "", {}, kind});
  const HostJob<T> job = owner.job();
  Kernels<T> result{n, m, {}, {}};
  const std::vector<T> empty(static_cast<std::size_t>(n * m), std::numeric_limits<T>::quiet_NaN());
  result.nngp.assign(static_cast<std::size_t>(job.outputs), empty);
  result.ntk = result.nngp;

  std::vector<DeviceOutput<T>> outputs;
  for (std::size_t k = 0; k < result.nngp.size(); ++k) {
    outputs.push_back({result.nngp[k].data(), result.ntk[k].data()});
  }
  for (std::int64_t i0 = 0; i0 < n; i0 += edge) {
    std::vector<std::vector<T>> contracted;
    const auto tables = contract(job, i0, std::min(n, i0 + edge), contracted);
    for (std::int64_t j0 = 0; j0 < m && (!job.symmetric || j0 <= i0); j0 += edge) {
      emulated::launch(GramBlock<T>{{job.ops, job.op_count, job.constants, tables.data(),
                                     job.left.table, job.right.table, n, m, i0, job.chain},
                                    device_side(job.left),
                                    device_side(job.right),
                                    d,
                                    i0,
                                    j0,
                                    std::min(edge, n - i0),
                                    std::min(edge, m - j0),
                                    job.symmetric,
                                    job.symmetric && i0 == j0,
                                    outputs.data(),
                                    job.symmetric ? outputs.data() : nullptr,
                                    job.outputs,
                                    i0 * m + j0,
                                    m,
                                    j0 * m + i0,
                                    m,
                                    kind,
                                    {}});
    }
  }
  return result;
}

// The budget of the Gram tests against the textbook recursion in extended precision, and symmetry.
template <class T>
void check(const Program& program, const std::vector<T>& x, const std::vector<T>* z, std::int64_t d,
           std::int64_t edge, ProductKind kind = ProductKind::Plain) {
  const Kernels<T> got = emulate(program, x, z, d, edge, kind);
  CHECK(gram_case::worst_error(program, x, z, d, got, 3) <= 1);
  if (z != nullptr) return;
  for (const auto& k : got.nngp) CHECK(gram_case::is_symmetric(k, got.n));
  for (const auto& k : got.ntk) CHECK(gram_case::is_symmetric(k, got.n));
}

TEST_CASE_TEMPLATE("symmetric and cross Grams of ragged size", T, float, double) {
  const std::int64_t d = 21;
  const auto x = gram_case::rows<T>(71, d, 1, true);
  const auto z = gram_case::rows<T>(39, d, 2, true);
  for (const char* name : {"relu", "joins", "every depth"}) {
    CAPTURE(name);
    check<T>(gram_case::network(name), x, nullptr, d, 1000);
    check<T>(gram_case::network(name), x, &z, d, 1000);
  }
}

TEST_CASE_TEMPLATE("sizes around a tile, a depth and a chunk", T, float, double) {
  const Program program = gram_case::network("relu with bias");
  for (const std::int64_t n : {1, 31, 32, 33, 64}) {
    for (const std::int64_t d : {1, 4, 7, 8, 9, 16}) {
      CAPTURE(n);
      CAPTURE(d);
      check<T>(program, gram_case::rows<T>(n, d, 3, true), nullptr, d, 1000);
    }
  }
}

TEST_CASE_TEMPLATE("tensor cores hold the same budget", T, float, double) {
  const ProductKind kind = sizeof(T) == 4 ? ProductKind::Tf32x3 : ProductKind::Tensor;
  for (const std::int64_t d : {1, 7, 8, 21}) {
    const auto x = gram_case::rows<T>(71, d, 1, true), z = gram_case::rows<T>(39, d, 2, true);
    CAPTURE(d);
    check<T>(gram_case::network("relu"), x, nullptr, d, 1000, kind);
    check<T>(gram_case::network("relu with bias"), x, &z, d, 1000, kind);
  }
}

TEST_CASE_TEMPLATE("every network on the CPU's own data", T, float, double) {
  const std::int64_t d = 5;
  const auto x = gram_case::rows<T>(20, d, 4, true);
  for (const char* name : gram_case::kNetworks) {
    CAPTURE(name);
    check<T>(gram_case::network(name), x, nullptr, d, 1000);
  }
}

TEST_CASE_TEMPLATE("blocks change no bit", T, float, double) {
  const std::int64_t d = 13;
  const auto x = gram_case::rows<T>(100, d, 5, true);
  const auto z = gram_case::rows<T>(70, d, 6);
  for (const char* name : {"residual", "standard"}) {
    const Program program = gram_case::network(name);
    const auto whole = emulate<T>(program, x, nullptr, d, 1000);
    CHECK(emulate<T>(program, x, nullptr, d, 32) == whole);
    CHECK(emulate<T>(program, x, nullptr, d, 64) == whole);
    CHECK(emulate<T>(program, x, &z, d, 32) == emulate<T>(program, x, &z, d, 1000));
  }
}

TEST_CASE_TEMPLATE("rows with a common part are centred", T, float, double) {
  const std::int64_t d = 30;
  auto x = gram_case::rows<T>(40, d, 7);
  for (T& number : x) number = std::fabs(number) + T(3);
  check<T>(gram_case::network("relu"), x, nullptr, d, 1000);
}

TEST_CASE_TEMPLATE("tables are contracted by the rows of their side", T, float, double) {
  const std::int64_t d = 6;
  const auto x = gram_case::rows<T>(37, d, 8), z = gram_case::rows<T>(35, d, 9);
  gram_case::ProgramBuilder builder;
  int value = builder.dense(builder.input(), 1, 0.3, true);
  value = builder.table(value, table_case::table(table_case::Parts::Both, 4, 6), "Tabulated");
  builder.output(builder.dense(value, 1, 0.2, true));
  const Program program = builder.build();
  const Kernels<T> expected = gram_case::gram<T>(program, x, &z, d);
  const Kernels<T> got = emulate<T>(program, x, &z, d, 32);
  const T tolerance = 64 * std::numeric_limits<T>::epsilon();
  for (std::size_t k = 0; k < expected.nngp[0].size(); ++k) {
    CHECK(std::fabs(got.nngp[0][k] - expected.nngp[0][k]) <= tolerance * 4);
    CHECK(std::fabs(got.ntk[0][k] - expected.ntk[0][k]) <= tolerance * 8);
  }
}

TEST_CASE("places of tiles in a triangle") {
  GramBlock<float> block{};
  block.lower = true;
  for (const std::int64_t rows : {std::int64_t{1}, std::int64_t{3000}, std::int64_t{400'000'000}}) {
    block.rows = block.cols = rows;
    const std::int64_t count = tile_count(block, 128), down = (rows + 127) / 128;
    for (std::int64_t index = 0; index < count; index += count < 1000 ? 1 : count / 997) {
      const TilePlace place = place_tile(block, index, 128);
      CHECK(place.row % 128 == 0);
      CHECK(place.col <= place.row);
      const std::int64_t row = place.row / 128;
      CHECK(row * (row + 1) / 2 + place.col / 128 == index);
    }
    const TilePlace last = place_tile(block, count - 1, 128);
    CHECK(last.row == (down - 1) * 128);
    CHECK(last.col == last.row);
  }
}

}  // namespace
