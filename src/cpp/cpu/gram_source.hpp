// The pairs of rows of one Gram matrix, prepared once: norms, centred rows, row tables, thresholds.
// Tiles of them are computed as often as wanted, for any sink.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "cpu/gram.hpp"
#include "cpu/input_rows.hpp"
#include "cpu/repair.hpp"
#include "cpu/tile.hpp"
#include "program/row_tables.hpp"

namespace ntkfast::cpu {

template <class T>
class GramSource {
 public:
  // Called for every slab of row tables that is made while rows are prepared.
  using Visitor = std::function<void(const RowTables<T>& table, bool left)>;

  // z null means the symmetric Gram of x. x, z and the program must outlive this. Row tables of up
  // to `table_bytes` per side are kept; larger ones are made slab by slab, in every run again.
  GramSource(const Program& program, const T* x, std::int64_t n, const T* z, std::int64_t m,
             std::int64_t d, const GramOptions& options, std::int64_t table_bytes);

  // The passes over the rows. An overflow is found here, before anything is computed.
  void prepare(const Monitor& monitor, const Visitor& visit = {});
  // Computes all tiles.
  void run(const TileSink<T>& sink, const Monitor& monitor) const;

  std::int64_t rows() const { return n_; }
  std::int64_t columns() const { return m_; }
  bool symmetric() const { return !z_; }
  int threads() const { return threads_; }

 private:
  struct Range {
    std::int64_t begin, end;
  };
  using Tables = std::unique_ptr<RowTables<T>>;

  const InputRows<T>& other() const { return z_ ? *z_ : x_; }
  Tables make_tables(const InputRows<T>& rows, Range slab, bool left, const Monitor& monitor) const;
  SideNumbers<T> side_numbers(const InputRows<T>& rows, const RepairPolicy& policy) const;
  Tables check_tables(const InputRows<T>& rows, bool left, const Monitor& monitor,
                      const Visitor& visit) const;
  void run_slabs(Range rows, Range cols, const RowTables<T>& left, const RowTables<T>& right,
                 const TileSink<T>& sink, const Monitor& monitor) const;
  static std::vector<TileRange> make_tiles(Range rows, Range cols, TileGrid grid, bool symmetric);

  const Program& program_;
  std::int64_t n_, m_, d_;
  const TileKernels<T>& kernels_;
  int threads_;
  std::int64_t slab_;
  std::vector<double> anchor_;
  InputRows<T> x_;
  std::optional<InputRows<T>> z_;  // empty: symmetric
  SideNumbers<T> side_x_, side_z_;
  Tables table_x_, table_z_;  // null: made slab by slab
};

// Row tables up to this size are made at once for a Gram matrix.
inline constexpr std::int64_t kTableBytes = std::int64_t{8} << 20;

// Upper bound in bytes of what a source and its workers allocate; m is 0 for a symmetric Gram.
std::int64_t source_bytes(const Program& program, std::int64_t n, std::int64_t m, std::int64_t d,
                          std::int64_t itemsize, int threads, std::int64_t table_bytes);

}  // namespace ntkfast::cpu
