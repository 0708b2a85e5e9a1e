// Gauss-Legendre quadrature on [0, 1] for integrals that every pair of rows needs. Nodes and
// weights: Newton's iteration with 40 digits.
#pragma once

#include "math/hostdev.hpp"

namespace ntkfast::inline NTKFAST_ISA {

namespace gauss_legendre_detail {

NTKFAST_NUMBERS constexpr float kNodeFloat3[] = {0.1127016654f, 0.5000000000f, 0.8872983346f};
NTKFAST_NUMBERS constexpr float kWeightFloat3[] = {0.2777777778f, 0.4444444444f, 0.2777777778f};
NTKFAST_NUMBERS constexpr float kNodeFloat6[] = {0.03376524290f, 0.1693953068f, 0.3806904070f,
                                                 0.6193095930f,  0.8306046932f, 0.9662347571f};
NTKFAST_NUMBERS constexpr float kWeightFloat6[] = {0.08566224619f, 0.1803807865f, 0.2339569673f,
                                                   0.2339569673f,  0.1803807865f, 0.08566224619f};
NTKFAST_NUMBERS constexpr double kNodeDouble6[] = {0.0337652428984239861, 0.169395306766867743,
                                                   0.380690406958401546,  0.619309593041598454,
                                                   0.830604693233132257,  0.966234757101576014};
NTKFAST_NUMBERS constexpr double kWeightDouble6[] = {0.0856622461895851725, 0.180380786524069304,
                                                     0.233956967286345524,  0.233956967286345524,
                                                     0.180380786524069304,  0.0856622461895851725};
NTKFAST_NUMBERS constexpr double kNodeDouble13[] = {
    0.00790847264070592526, 0.0412008003885110174, 0.0992109546333450436, 0.178825330279829890,
    0.275753624481776574,   0.384770842022432603,  0.500000000000000000,  0.615229157977567397,
    0.724246375518223426,   0.821174669720170110,  0.900789045366654956,  0.958799199611488983,
    0.992091527359294075};
NTKFAST_NUMBERS constexpr double kWeightDouble13[] = {
    0.0202420023826579398, 0.0460607499188642240, 0.0694367551098936192, 0.0890729903809728691,
    0.103908023768444251,  0.113141590131448619,  0.116275776615436955,  0.113141590131448619,
    0.103908023768444251,  0.0890729903809728691, 0.0694367551098936192, 0.0460607499188642240,
    0.0202420023826579398};

}  // namespace gauss_legendre_detail

template <class T, int kCount>
struct GaussLegendre;

template <>
struct GaussLegendre<float, 3> {
  static constexpr int kNodes = 3;
  static NTKFAST_INLINE float node(int k) { return gauss_legendre_detail::kNodeFloat3[k]; }
  static NTKFAST_INLINE float weight(int k) { return gauss_legendre_detail::kWeightFloat3[k]; }
};

template <>
struct GaussLegendre<float, 6> {
  static constexpr int kNodes = 6;
  static NTKFAST_INLINE float node(int k) { return gauss_legendre_detail::kNodeFloat6[k]; }
  static NTKFAST_INLINE float weight(int k) { return gauss_legendre_detail::kWeightFloat6[k]; }
};

template <>
struct GaussLegendre<double, 6> {
  static constexpr int kNodes = 6;
  static NTKFAST_INLINE double node(int k) { return gauss_legendre_detail::kNodeDouble6[k]; }
  static NTKFAST_INLINE double weight(int k) { return gauss_legendre_detail::kWeightDouble6[k]; }
};

template <>
struct GaussLegendre<double, 13> {
  static constexpr int kNodes = 13;
  static NTKFAST_INLINE double node(int k) { return gauss_legendre_detail::kNodeDouble13[k]; }
  static NTKFAST_INLINE double weight(int k) { return gauss_legendre_detail::kWeightDouble13[k]; }
};

}  // namespace ntkfast::inline NTKFAST_ISA
