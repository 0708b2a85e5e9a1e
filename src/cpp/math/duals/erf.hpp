// Erf: phi(x) = a erf(b x) + c, phi'(x) = (2 a b / sqrt(pi)) exp(-b^2 x^2).
//
// Domain: every a, b, c; b^2 q <= 4e37 in float, |b| p <= 4e153 in double. Dual (Williams 1997):
//   K' = a^2 (2 / pi) asin(e e' rho) + c^2,  e^2 = 2 b^2 q / (1 + 2 b^2 q),  f^2 = 1 - e^2.
//
// Without c, rho' = asin(e e' rho) / G with G = sqrt(alpha alpha'), sin(alpha) = e^2. It is odd in
// rho, so m = 1 - |rho| suffices: m' = (G - beta) / G with sin(beta) = e e' n, n = 1 - m. Only how
// far sin(G) lies above e e' = sqrt(sin(alpha) sin(alpha')) would cancel, and that is
//   psi = sin(G) / (e e') - 1 = (alpha - alpha')^2 W(alpha, alpha'),  1/12 <= W <= 1/8,
// where the smooth symmetric W is a short sum of +- u_k(alpha) u_k(alpha'), u_k a row column.
// The rest follows from the tangent of half the angle, all terms non-negative, with
// h^2 = sin(alpha) / alpha, x = (e e')^2, mu = 1 - n^2 = m (2 - m):
//   cos(beta) = sqrt(f^2 + f'^2 - (f f')^2 + x mu),
//   tan((G - beta) / 2) = e e' r,  m' = 2 h h' r atan(e e' r) / (e e' r),
//   r = (psi (2 + psi) + mu) / [(Q cos(beta) + n cos(G)) (1 + cos(beta) cos(G) + Q x n)],
//   Q = 1 + psi,  gain = E[phi' phi'] p p' / (P P') = h h' / cos(beta).
// c is an affine step after that.
//
// Error bounds for exact s and p, measured on 120000 random entries against 120 digits: norms from
// 1e-9 to 1e9 in any mix, m from 1e-17 to 1, both signs, c / a from 0 to 30; u the unit roundoff.
//   |error of m'| <= 7 u sqrt(2 m'), the root mean square is 1 u; |error of the gain| <= 6 u gain
//   in float, 10 u gain in double, where the rounding of the row columns shows.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "math/duals/dual.hpp"
#include "math/duals/erf_angle.hpp"

namespace ntkfast::inline NTKFAST_ISA {

namespace erf_detail {

// cos((pi / 2) sqrt(1 - z)) / z for z in [0, 1]; truncation 1.1e-9 (float), 2e-17 (double).
template <class T>
NTKFAST_INLINE T cosine_over_complement(T z) {
  if constexpr (std::is_same_v<T, float>) {
    constexpr float c[] = {0.7853981643f, 0.1963494976f, 0.01742960384f, 0.0007991327431f,
                           2.360068958e-5f};
    return polynomial(c, z);
  } else {
    constexpr double c[] = {0.785398163397448294,     0.196349540849364066,
                            0.0174292582363585008,    0.000800097374548944444,
                            0.0000225060237721622138, 4.28178758519601008e-7,
                            5.87668780130685299e-9,   6.30616956165683012e-11};
    return polynomial(c, z);
  }
}

// W(alpha, alpha') (pi / 2)^2 = sum_k +-u_k(y) u_k(y') / (h h') with the polynomials u_k
// below, lowest power first, at y = 2 z - 1, z = acos(e^2) / (pi / 2): the eigenvectors of
// (pi / 2)^2 h h' W on 60 Chebyshev nodes, times the root of their eigenvalues, interpolated; all
// with 80 digits. Truncation relative to W: 4.8e-9 with 4 terms (float), 2e-17 with 8 (double).
constexpr int kTerms = 8;
constexpr double kExcess[kTerms][21] = {
    {0.44916805640749213,     0.006741443415867998,   -0.0005226289781443097,
     -0.0007177595867436708,  0.00020616956349960171, -4.790597927199012e-05,
     1.4115925374657617e-05,  -3.896936898638244e-06, 1.1434865506277622e-06,
     -3.2964319288393777e-07, 9.780241895541335e-08,  -2.896382191709069e-08,
     8.702665439367675e-09,   -2.618071398072966e-09, 7.952177079339233e-10,
     -2.482195267766491e-10,  7.652387104847704e-11,  -1.9128370863172264e-11,
     5.7476439021418935e-12,  -3.758062742437304e-12, 1.2041187777479229e-12},
    {0.010763218225470753,   -0.030567391615457906,  -0.02032342883217235,   0.004757478683849697,
     -0.001038247798563002,  0.0003233336076381994,  -8.772174808302793e-05, 2.6076442908543072e-05,
     -7.474035530873866e-06, 2.2294593445693166e-06, -6.591067379947692e-07, 1.9850533911527407e-07,
     -5.980200082382934e-08, 1.8163158266478292e-08, -5.53952334574811e-09,  1.741064812141272e-09,
     -5.389772569997667e-10, 1.3484585994274007e-10, -4.065167572194039e-11, 2.6855377314514424e-11,
     -8.630715722703311e-12},
    {-0.013071197400254902,   -0.0014429160714176273,  0.025242637623209326,
     -0.004923481156365892,   0.0012102945298573529,   -0.0003690992034425255,
     0.0001033766731590387,   -3.0545575682706895e-05, 8.899398181299989e-06,
     -2.6572205711739678e-06, 7.925864415242747e-07,   -2.3939252800439916e-07,
     7.251972584691167e-08,   -2.2092981534465635e-08, 6.7640923920086295e-09,
     -2.132660719467275e-09,  6.62164028119791e-10,    -1.6568390541772049e-10,
     5.005765799885893e-11,   -3.327305936984507e-11,  1.0713321494433188e-11},
    {0.0001537983347330403,   0.001970220103423534,    -0.0007771967403679557,
     -0.0024595533988356366,  0.0005774435815677759,   -0.00019185210630086208,
     5.320134591277438e-05,   -1.697638017234616e-05,  5.019468359942489e-06,
     -1.5621813375519883e-06, 4.7488784707890134e-07,  -1.4731476408319307e-07,
     4.541652826994998e-08,   -1.4100598662472744e-08, 4.382068524096586e-09,
     -1.404521327986557e-09,  4.4167067704082383e-10,  -1.1060083182852574e-10,
     3.3740231453939526e-11,  -2.3090993722427474e-11, 7.4992150074426e-12},
    {2.810145460350932e-05,   -2.6926194319745353e-05, -0.0002140629153013419,
     7.367060124184427e-05,   0.00018381797265987332,  -3.629648595062834e-05,
     2.84876470509813e-05,    -9.09496046085679e-06,   3.595097377410828e-06,
     -1.1866375022094711e-06, 4.1173385613931623e-07,  -1.3527256215810007e-07,
     4.495859878494719e-08,   -1.4621102602268962e-08, 4.773377591968826e-09,
     -1.5957483241957925e-09, 5.201687713654005e-10,   -1.3022788982339198e-10,
     4.076975890085779e-11,   -3.0013746423540803e-11, 9.950576071795057e-12},
    {-1.1458962069887211e-06, -1.6297979678683846e-05, 1.581471061741753e-05,
     6.100137065250507e-05,   -3.43151558772657e-05,   -3.9693799806209374e-05,
     1.6856654251617654e-05,  -7.488175688511816e-06,  2.7233628344112444e-06,
     -9.95592770813327e-07,   3.4307814063191543e-07,  -1.1771836881336722e-07,
     3.949925547265206e-08,   -1.3151827464210079e-08, 4.3454018970311e-09,
     -1.478824385656028e-09,  4.87548945612429e-10,    -1.2196368408916743e-10,
     3.8519263565410824e-11,  -2.92165968898276e-11,   9.76334661559252e-12},
    {-4.4949678340453687e-07, 1.0649968333918212e-06,  7.7884864643515e-06,
     -6.306089129030319e-06,  -1.946674129252382e-05,  9.609822915293553e-06,
     1.0669402327692284e-05,  -3.6969064690507066e-06, 1.6974666567464074e-06,
     -5.79418786492017e-07,   2.0787801355080882e-07,  -6.902757150911277e-08,
     2.3114467707107513e-08,  -7.523466868789126e-09,  2.4531281162253103e-09,
     -8.158419362016271e-10,  2.645637440562635e-10,   -6.649545490486716e-11,
     2.071736473051546e-11,   -1.487335997170688e-11,  4.8943910108017714e-12},
    {9.406531048573249e-09,   1.4110089644530153e-07, -2.370192067249953e-07,
     -1.0648592116071588e-06, 9.697220492814551e-07,  1.897190514023249e-06,
     -1.2452131185863777e-06, -7.279989851632046e-07, 3.932796143785171e-07,
     -2.2323193940103785e-07, 9.437162552300864e-08,  -3.8945066353318886e-08,
     1.4854928632912946e-08,  -5.516906499693085e-09, 1.991858290155271e-09,
     -7.419150900779424e-10,  2.6134726569348904e-10, -6.439751628410327e-11,
     2.1344041905601048e-11,  -1.890601632960801e-11, 6.563754073312724e-12},
};

NTKFAST_NUMBERS constexpr int kSign[kTerms] = {1, -1, 1, 1, 1, 1, -1, 1};

template <class T>
NTKFAST_INLINE T square_excess(const T* left, const T* right) {
  return signed_sum<std::is_same_v<T, float> ? 4 : kTerms>(kSign, left, right);
}

}  // namespace erf_detail

struct Erf {
  static constexpr int kParams = 3;
  static constexpr int kConstants = 0;

  // e^2, f^2, h, z = acos(e^2) / (pi / 2), the affine step, u_k / h.
  enum Column { kSine, kCosSquared, kRootSinc, kAcos, kScale, kOffset, kExcess };
  static constexpr int kColumns = kExcess + erf_detail::kTerms;

  static void constants(const double* /*params*/, double* /*constants*/) {}

  // K' >= c^2 - a^2; the margin keeps rounding from making a negative rho'.
  static bool nonnegative(const double* params) {
    return std::fabs(params[2]) > 1.0001 * std::fabs(params[0]);
  }

  static RowStep row(const double* params, double p, double* columns) {
    const ErfAngle angle(std::fabs(params[1]) * p);
    const double e = angle.e, f = angle.f, sine = angle.sine;
    const double sinc = sine > 0 ? sine / angle.alpha : 1;
    const double root_sinc = std::sqrt(sinc);

    const double core = std::fabs(params[0]) * std::sqrt(M_2_PI) * (e / root_sinc);
    const double next = std::hypot(core, params[2]);
    const double scale = next > 0 ? core / next : 1;

    columns[kSine] = sine;
    columns[kCosSquared] = f * f;
    columns[kRootSinc] = root_sinc;
    columns[kAcos] = M_2_PI * angle.complement;
    columns[kScale] = scale;
    columns[kOffset] = next > 0 ? params[2] / next : 0;
    const double y = 2 * columns[kAcos] - 1;
    for (int k = 0; k < erf_detail::kTerms; ++k) {
      columns[kExcess + k] = polynomial(erf_detail::kExcess[k], y) / root_sinc;
    }
    return {next, scale * scale * sinc / angle.cosine};
  }

  template <class T, bool kSigned>
  static NTKFAST_INLINE PairStep<T> pair(const T* /*constants*/, T s, const T* left,
                                         const T* right) {
    const T m = kSigned ? std::fabs(s) : s;
    const T n = T(1) - m;
    const T mu = m * (T(2) - m);

    const T zl = left[kAcos], zr = right[kAcos];
    const T psi =
        (zl - zr) * (zl - zr) * erf_detail::square_excess(left + kExcess, right + kExcess);
    const T stretch = T(1) + psi;
    const T z = (zl + zr) - zl * zr;  // 1 - G^2 / (pi / 2)^2
    const T cos_g = z * erf_detail::cosine_over_complement(z);

    constexpr T floor = std::numeric_limits<T>::min();  // q = infinity: keeps 0 / 0 out
    const T fl = left[kCosSquared], fr = right[kCosSquared];
    const T complement = (fl + fr) - fl * fr;
    const T one_minus_x = complement > floor ? complement : floor;
    const T x = left[kSine] * right[kSine];
    const T cos_beta = std::sqrt(one_minus_x + x * mu);

    const T denominator =
        (stretch * cos_beta + n * cos_g) * (T(1) + (cos_beta * cos_g + stretch * (x * n)));
    const T inverse = T(1) / (cos_beta * denominator);
    const T r = ((psi * (T(2) + psi) + mu) * inverse) * cos_beta;
    const T hh = left[kRootSinc] * right[kRootSinc];
    const T far = (T(2) * hh * r) * atan_over_root(x * (r * r));
    // Small correlations keep their digits: |rho'| = n h h' asin(e e' n) / (e e' n).
    const T small_n = n < T(0.5) ? n : T(0.5);
    const T near_zero = small_n * (hh * asin_over_root(x * (small_n * small_n)));
    const T next = n < T(0.5) ? T(1) - near_zero : far;
    const T gain = (left[kScale] * right[kScale]) * (hh * (denominator * inverse));
    return {affine_deficit<T, kSigned>(kSigned ? std::copysign(next, s) : next, left[kScale],
                                       left[kOffset], right[kScale], right[kOffset]),
            gain};
  }
};

}  // namespace ntkfast::inline NTKFAST_ISA
