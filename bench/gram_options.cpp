#include "gram_options.hpp"

#include <charconv>
#include <stdexcept>
#include <string_view>
#include <thread>

namespace ntkfast::bench {
namespace {

std::int64_t integer(std::string_view name, std::string_view text, std::int64_t least,
                     std::int64_t most) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool read = error == std::errc{} && end == text.data() + text.size();
  if (!read || value < least || value > most) {
    throw std::invalid_argument(std::string(name) + ": expected an integer from " +
                                std::to_string(least) + " to " + std::to_string(most) + ", got '" +
                                std::string(text) + "'");
  }
  return value;
}

std::string one_of(std::string_view name, std::string_view text, std::string_view first,
                   std::string_view second) {
  if (text != first && text != second) {
    throw std::invalid_argument(std::string(name) + ": expected " + std::string(first) + " or " +
                                std::string(second) + ", got '" + std::string(text) + "'");
  }
  return std::string(text);
}

void set(Options& options, std::string_view name, std::string_view text) {
  constexpr std::int64_t kRows = 1 << 20;
  if (name == "--n") {
    options.n = integer(name, text, 1, kRows);
  } else if (name == "--m") {
    options.m = integer(name, text, 0, kRows);
  } else if (name == "--d") {
    options.d = integer(name, text, 1, kRows);
  } else if (name == "--depth") {
    options.depth = static_cast<int>(integer(name, text, 1, 1000));
  } else if (name == "--activation") {
    options.activation = one_of(name, text, "relu", "erf");
  } else if (name == "--dtype") {
    options.dtype = one_of(name, text, "float32", "float64");
  } else if (name == "--threads") {
    options.threads = static_cast<int>(integer(name, text, 1, 4096));
  } else if (name == "--isa") {
    options.isa = text;
  } else if (name == "--repeat") {
    options.repeat = static_cast<int>(integer(name, text, 2, 100000));
  } else {
    throw std::invalid_argument("unknown option '" + std::string(name) + "'; see --help");
  }
}

}  // namespace

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--help" || name == "-h") {
      options.help = true;
    } else if (name == "--json") {
      options.json = true;
    } else if (i + 1 == argc) {
      throw std::invalid_argument(std::string(name) + ": unknown option or missing value");
    } else {
      set(options, name, argv[++i]);
    }
  }
  if (options.repeat % 2 != 0) {
    throw std::invalid_argument("--repeat: expected an even number, got " +
                                std::to_string(options.repeat));
  }
  if (options.threads == 0) {
    options.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  }
  return options;
}

const char* usage() {
  return "usage: ntkfast_bench [options]\n"
         "Times a Gram matrix (NNGP and NTK) against its floor: half of the full product of that\n"
         "shape (all of it for a cross kernel) plus writing both outputs to new memory.\n"
         "  --n N              rows (4096)\n"
         "  --m M              columns of a cross kernel; 0 for the symmetric Gram (0)\n"
         "  --d D              features (784)\n"
         "  --depth L          hidden layers (3)\n"
         "  --activation NAME  relu or erf (relu)\n"
         "  --dtype NAME       float32 or float64 (float32)\n"
         "  --threads T        all cores by default\n"
         "  --isa NAME         baseline, avx2 or avx512; the fastest by default\n"
         "  --repeat R         interleaved rounds, an even number (10)\n"
         "  --json             one JSON object instead of text\n";
}

}  // namespace ntkfast::bench
