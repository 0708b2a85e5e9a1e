#include "device/image_job.hpp"

#include <algorithm>

#include "backend/parallel.hpp"
#include "spatial/gram.hpp"
#include "spatial/image_columns.hpp"
#include "spatial/pair_sink.hpp"

namespace ntkfast::device {
namespace {

// Of one op in the row of an image behind its readouts, about.
constexpr std::int64_t kRowBytes = 128;

bool wants_ntk(const auto& outputs) {
  return std::any_of(outputs.begin(), outputs.end(),
                     [](const auto& out) { return out.ntk != nullptr; });
}

template <class T>
class ImageJob : public HostImages<T> {
 public:
  ImageJob(const Program& network, const T* x, std::int64_t left, const T* z, std::int64_t right,
           const std::vector<cpu::GramOutput<T>>& outputs, const cpu::GramOptions& options)
      : plan_(network),
        stored_(plan_),
        own_(plan_, spatial::Sweep::Of::Itself),
        flat_(flatten_images<T>(plan_, stored_, wants_ntk(outputs))),
        sink_(plan_, wants_ntk(outputs), options.isa, outputs),
        options_(options),
        x_(x),
        z_(z) {
    this->program = flat_.view();
    this->value_count = static_cast<int>(flat_.values.size());
    this->constant_count = static_cast<int>(flat_.constants.size());
    this->n = left;
    this->m = z == nullptr ? left : right;
    this->symmetric = z == nullptr;
    sink_.take_rows(x, left, z, right, options);
  }

  void columns(bool left, std::int64_t first, std::int64_t count, T* to) const override {
    const Value& input = plan_.program().values[0];
    const std::int64_t pixels = input.grid.count() * input.width;
    const T* const images = left || z_ == nullptr ? x_ : z_;
    const char* const name = left || z_ == nullptr ? "X" : "Z";
    const std::int64_t numbers = flat_.sizes.image_numbers;
    std::vector<std::unique_ptr<spatial::MapRunner<T>>> runners;
    for (int t = 0; t < std::max(1, options_.threads); ++t) {
      runners.push_back(std::make_unique<spatial::MapRunner<T>>(plan_, false, options_.isa));
    }
    Tasks tasks(count, static_cast<int>(runners.size()), options_.monitor);
    tasks.run([&](int worker, std::int64_t k) {
      const spatial::ImageColumns<T> image(plan_, stored_, own_,
                                           *runners[static_cast<std::size_t>(worker)],
                                           images + (first + k) * pixels, first + k, name);
      std::copy_n(image.stage(0), numbers, to + k * numbers);
    });
  }

  void finish(const ImageTile& tile, const ImageSums* sums) const override {
    const auto readouts = flat_.sizes.readouts;
    const std::int64_t chunks = chunk_count(static_cast<std::int64_t>(flat_.offsets.size()));
    Tasks tasks(tile.rows, std::max(1, options_.threads), options_.monitor);
    tasks.run([&](int, std::int64_t i) {
      const spatial::Tile row{tile.i0 + i, 1, tile.j0, tile.cols};
      std::vector<spatial::Readout> totals(static_cast<std::size_t>(tile.cols * readouts));
      const ImageSums* from = sums + i * tile.cols * chunks * readouts;
      for (std::int64_t j = 0; j < tile.cols; ++j) {
        if (row.skips(this->symmetric, 0, j)) break;
        for (std::int64_t part = 0; part < chunks * readouts; ++part) {
          auto& total = totals[static_cast<std::size_t>(j * readouts + part % readouts)];
          const ImageSums& sum = from[j * chunks * readouts + part];
          total.nngp += sum.nngp;
          total.ntk += sum.ntk;
        }
      }
      sink_.finish(row, this->symmetric, totals.data(), this->m);
    });
  }

 private:
  spatial::SpatialPlan plan_;
  spatial::StoredLayout stored_;
  spatial::Sweep own_;
  ImageProgram<T> flat_;
  spatial::PairSink<T> sink_;
  cpu::GramOptions options_;
  const T *x_, *z_;
};

}  // namespace

template <class T>
std::unique_ptr<HostImages<T>> make_image_job(const Program& program, const T* x, std::int64_t n,
                                              const T* z, std::int64_t m,
                                              const std::vector<cpu::GramOutput<T>>& outputs,
                                              const cpu::GramOptions& options) {
  return std::make_unique<ImageJob<T>>(program, x, n, z, m, outputs, options);
}

std::int64_t image_job_bytes(const Program& program, std::int64_t n, std::int64_t m,
                             std::int64_t itemsize) {
  // The readouts of single images are made by the CPU engine, one image per thread at a time.
  const std::int64_t rows = (n + m) * (static_cast<std::int64_t>(sizeof(spatial::Readout)) *
                                           spatial::readout_count(program) +
                                       kRowBytes * static_cast<std::int64_t>(program.ops.size()));
  const spatial::SpatialPlan plan(program);
  const spatial::Sweep pairs(plan, spatial::Sweep::Of::Pairs);
  const auto offsets = static_cast<std::int64_t>(pairs.offsets(0).size());
  const std::int64_t edge = image_tile_edge(offsets);
  const std::int64_t sums = edge * edge * chunk_count(offsets) * spatial::readout_count(program) *
                            static_cast<std::int64_t>(sizeof(ImageSums));
  const std::int64_t image = itemsize == 4 ? spatial::ImageColumns<float>::bytes(plan)
                                           : spatial::ImageColumns<double>::bytes(plan);
  return rows + 2 * sums + std::max(kImageChunkBytes, image);
}

#define NTKFAST_INSTANTIATE(T)                                        \
  template std::unique_ptr<HostImages<T>> make_image_job(             \
      const Program&, const T*, std::int64_t, const T*, std::int64_t, \
      const std::vector<cpu::GramOutput<T>>&, const cpu::GramOptions&);
NTKFAST_INSTANTIATE(float)
NTKFAST_INSTANTIATE(double)
#undef NTKFAST_INSTANTIATE

}  // namespace ntkfast::device
