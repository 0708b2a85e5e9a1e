#include "device/gram_job.hpp"

#include <optional>

#include "cpu/dispatch.hpp"
#include "cpu/repair.hpp"

namespace ntkfast::device {

template <class T>
struct GramJob<T>::Side {
  Side(const T* given_rows, std::int64_t count, std::int64_t d, const char* name,
       const GramJobOptions& options)
      : rows(cpu::tile_kernels<T>(options.isa), given_rows, count, d, name), given(given_rows) {}

  void make_table(const Program& program, const char* name, const GramJobOptions& options) {
    table.emplace(program, rows.p(), rows.rows(), 0, name, options.threads, options.monitor);
  }
  void make_numbers(const cpu::RepairPolicy& policy) {
    factor = rows.factors();
    half_norm.assign(rows.half_norm().begin(), rows.half_norm().end());
    threshold = policy.template thresholds<T>(rows);
  }

  cpu::InputRows<T> rows;
  const T* given;
  std::optional<RowTables<T>> table;
  std::vector<T> factor, half_norm, threshold;
};

template <class T>
GramJob<T>::GramJob(const Program& program, const T* x, std::int64_t n, const T* z, std::int64_t m,
                    std::int64_t d, bool ntk, const GramJobOptions& options)
    : d_(d),
      kind_(options.kind),
      flat_(flatten<T>(program, ntk)),
      x_(std::make_shared<Side>(x, n, d, "X", options)),
      z_(z == nullptr ? nullptr : std::make_shared<Side>(z, m, d, "Z", options)) {
  cpu::InputRows<T>& other = z_ ? z_->rows : x_->rows;
  // All rows are kept: the device wants them in one piece.
  anchor_ = cpu::prepare_rows(x_->rows, z_ ? &z_->rows : nullptr, d, true, options.threads,
                              options.monitor);
  x_->make_table(program, "X", options);
  if (z_) z_->make_table(program, "Z", options);
  const cpu::RepairPolicy policy = cpu::choose_repair(program, x_->rows, other, d, kind_);
  x_->make_numbers(policy);
  if (z_) z_->make_numbers(policy);
}

template <class T>
HostSide<T> GramJob<T>::host_side(const Side& side) const {
  std::int64_t ld = 0;
  return {side.rows.rows(),
          side.rows.panel(0, side.rows.rows(), 0, d_, nullptr, &ld),
          side.given,
          side.rows.inverse(),
          side.factor.data(),
          side.half_norm.data(),
          side.threshold.data(),
          side.table->column(0, 0)};
}

template <class T>
HostJob<T> GramJob<T>::job() const {
  return {d_,
          z_ == nullptr,
          host_side(*x_),
          host_side(z_ ? *z_ : *x_),
          flat_.ops.data(),
          static_cast<int>(flat_.ops.size()),
          flat_.constants.data(),
          static_cast<int>(flat_.constants.size()),
          flat_.tables.data(),
          static_cast<int>(flat_.tables.size()),
          flat_.columns,
          flat_.outputs,
          kind_,
          flat_.chain};
}

std::int64_t job_bytes(const Program& program, std::int64_t n, std::int64_t m, std::int64_t d,
                       std::int64_t itemsize) {
  // Per row: p, inverse, half norm in double; factor, half norm and threshold; tables; centred row.
  const std::int64_t row = 3 * 8 + (3 + table_width(program) + d) * itemsize;
  return (n + m) * row + 8 * d;
}

template class GramJob<float>;
template class GramJob<double>;

}  // namespace ntkfast::device
