// Branch-free scalar pieces that every dual activation builds on.
//
// Each function states its range and its largest relative error, measured against 60 digits on 400
// points; u is the unit roundoff (6e-8 in float, 1.1e-16 in double). The coefficients are Chebyshev
// interpolants computed with 60 digits and rounded: enough terms that the truncation stays below u.
#pragma once

#include <cmath>
#include <type_traits>

#include "math/hostdev.hpp"

namespace ntkfast::inline NTKFAST_ISA {

// Horner's rule, lowest coefficient first. Recursive in the number of terms: a loop over more than
// about 16 of them is not unrolled, and a loop inside keeps the loop around it from vectorising.
template <int kFirst = 0, class T, int N>
NTKFAST_INLINE T polynomial(const T (&coefficient)[N], T x) {
  if constexpr (kFirst + 1 == N) {
    return coefficient[kFirst];
  } else {
    return polynomial<kFirst + 1>(coefficient, x) * x + coefficient[kFirst];
  }
}

// asin(sqrt(z)) / sqrt(z) for z in [0, 0.5]; truncation 1.8e-8 (float), 1.3e-16 (double).
template <class T>
NTKFAST_INLINE T asin_over_root(T z) {
  if constexpr (std::is_same_v<T, float>) {
    constexpr float c[] = {0.9999999887f,  0.1666695467f,  0.07488114442f,  0.04648084946f,
                           0.01673138895f, 0.07553975382f, -0.09008621671f, 0.1096739832f};
    return polynomial(c, z);
  } else {
    constexpr double c[] = {0.999999999999999926,  0.166666666666761985,  0.0749999999795495796,
                            0.0446428588763529236, 0.030381867203474289,  0.0223742457135772479,
                            0.017315599544316181,  0.0144251985390784344, 0.00744462852033783566,
                            0.0367584181543662938, -0.12408231204352452,  0.495006587821916806,
                            -1.33613801757883224,  2.73332796871550936,   -3.97423200662555117,
                            3.96516602477893849,   -2.42133451169854553,  0.705273507324460593};
    return polynomial(c, z);
  }
}

// (sin t - t cos t) / sqrt(z)^3 with t = 2 asin(sqrt(z)), for z in [0, 0.5];
// truncation 1.8e-8 (float), 5e-17 (double). No cancellation at small t, where it tends to 8/3.
template <class T>
NTKFAST_INLINE T arc_excess_over_root_cubed(T z) {
  if constexpr (std::is_same_v<T, float>) {
    constexpr float c[] = {2.666666697f,   0.2666606852f,   0.08590178979f, 0.03752269953f,
                           0.03359094247f, -0.01594783563f, 0.04244385108f};
    return polynomial(c, z);
  } else {
    constexpr double c[] = {2.66666666666666674,    0.266666666666578329,   0.0857142857311801315,
                            0.0396825384077344628,  0.0220960100486147631,  0.0137662757778028716,
                            0.0092737557671613063,  0.00636594937213468897, 0.00646109707702511651,
                            -0.0053282288737083844, 0.0406872969514075475,  -0.113927436860877851,
                            0.263142784265178397,   -0.416331027479081982,  0.454630524899823173,
                            -0.300495500597926017,  0.0960493691668461142};
    return polynomial(c, z);
  }
}

// (atan(sqrt(z)) / sqrt(z) - 1) / z for z in [0, 1]: minus a third and what follows. In double the
// tail is split into even and odd powers: the lowest term, which sets the rounding error, stays in
// Horner's order.
template <class T>
NTKFAST_INLINE T atan_over_root_tail(T z) {
  if constexpr (std::is_same_v<T, float>) {
    constexpr float c[] = {-0.3333303671f,  0.1999187203f,  -0.1419779779f,  0.1061837064f,
                           -0.07456854826f, 0.04213762359f, -0.01573124912f, 0.002766283502f};
    return polynomial(c, z);
  } else {
    constexpr double even[] = {
        0.199999999996479603,  0.111111105780020824,   0.0769219899745829418,
        0.0587682811448727217, 0.0466874530484852871,  0.0338712670270067489,
        0.0167195960635073887, 0.00375113848396514119, 0.000214238107386039468};
    constexpr double odd[] = {
        -0.14285714266926734,    -0.0909089979321734102,  -0.0666576491068972235,
        -0.0523742347191881684,  -0.0408112475031788523,  -0.0255686236443717393,
        -0.00899108054265826073, -0.00112525443022346454, -0.0000193423475928922986};
    return -0.333333333333307019 + z * (polynomial(even, z * z) + z * polynomial(odd, z * z));
  }
}

// atan(sqrt(z)) / sqrt(z) for z in [0, 1]; truncation 1.8e-8 (float), 3.3e-17 (double).
template <class T>
NTKFAST_INLINE T atan_over_root(T z) {
  constexpr T one = std::is_same_v<T, float> ? T(0.9999999818f) : T(0.999999999999999967);
  return one + z * atan_over_root_tail(z);
}

}  // namespace ntkfast::inline NTKFAST_ISA
