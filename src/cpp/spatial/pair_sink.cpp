#include "spatial/pair_sink.hpp"

#include <cmath>
#include <string>

#include "error.hpp"
#include "spatial/gram.hpp"

namespace ntkfast::spatial {

template <class T>
PairSink<T>::PairSink(const SpatialPlan& plan, bool ntk, std::string_view isa,
                      const std::vector<cpu::GramOutput<T>>& outputs)
    : plan_(plan),
      ntk_(ntk),
      head_(plan, ntk, isa),
      outputs_(outputs),
      readouts_(static_cast<std::size_t>(readout_count(plan.program()))) {}

template <class T>
void PairSink<T>::take_rows(const T* x, std::int64_t n, const T* z, std::int64_t m,
                            const cpu::GramOptions& options) {
  if (!head_.needs_rows()) return;
  left_ = rows(x, n, "X", options);
  if (z != nullptr) right_ = rows(z, m, "Z", options);
}

template <class T>
std::vector<HeadRow> PairSink<T>::rows(const T* images, std::int64_t n, const char* argument,
                                       const cpu::GramOptions& options) const {
  const auto sums = own_readouts(plan_, images, n, argument, ntk_, options);
  std::vector<HeadRow> rows;
  for (std::int64_t i = 0; i < n; ++i) {
    rows.push_back(head_.row(sums.data() + static_cast<std::size_t>(i) * readouts_, i, argument));
  }
  return rows;
}

template <class T>
void PairSink<T>::write(std::int64_t at, std::size_t output, const Readout& value) const {
  const auto& out = outputs_[output];
  if (out.nngp != nullptr) out.nngp[at] = static_cast<T>(value.nngp);
  if (out.ntk != nullptr) out.ntk[at] = static_cast<T>(value.ntk);
}

template <class T>
void PairSink<T>::finish(const Tile& tile, bool symmetric, const Readout* sums,
                         std::int64_t columns) const {
  std::vector<Readout> results(outputs_.size());
  const bool rows = head_.needs_rows();
  const auto& right = symmetric ? left_ : right_;
  for (std::int64_t i = 0; i < tile.rows; ++i) {
    for (std::int64_t j = 0; j < tile.cols && !tile.skips(symmetric, i, j); ++j) {
      const std::int64_t a = tile.i0 + i, b = tile.j0 + j;
      head_.run(sums + static_cast<std::size_t>(i * tile.cols + j) * readouts_,
                rows ? &left_[static_cast<std::size_t>(a)] : nullptr,
                rows ? &right[static_cast<std::size_t>(b)] : nullptr, symmetric && a == b,
                results.data());
      for (std::size_t k = 0; k < results.size(); ++k) {
        if (!std::isfinite(static_cast<T>(results[k].nngp)) ||
            !std::isfinite(static_cast<T>(results[k].ntk))) {
          throw KernelOverflow("images " + std::to_string(a) + " and " + std::to_string(b) +
                               " give a kernel value beyond the largest finite number of its "
                               "dtype: scale the inputs down or use float64");
        }
        write(a * columns + b, k, results[k]);
        if (symmetric && a != b) write(b * columns + a, k, results[k]);
      }
    }
  }
}

template <class T>
void PairSink<T>::finish_own(std::int64_t i, const Readout* sums) const {
  std::vector<Readout> results(outputs_.size());
  const HeadRow row = head_.row(sums, i, "X");
  head_.run(sums, &row, &row, true, results.data());
  for (std::size_t k = 0; k < results.size(); ++k) write(i, k, results[k]);
}

template class PairSink<float>;
template class PairSink<double>;

}  // namespace ntkfast::spatial
