// Gauss-Legendre quadrature on [0, 1], 16 nodes in float and 32 in double, for integrals that every
// pair of rows needs; over a box, 4 x 4 and 8 x 8. Nodes and weights: Newton's iteration with 40
// digits.
#pragma once

#include <type_traits>

#include "math/hostdev.hpp"

namespace ntkfast::inline NTKFAST_ISA {

namespace gauss_legendre_detail {

NTKFAST_NUMBERS constexpr float kNodeFloat[] = {
    0.005299532504f, 0.02771248846f, 0.06718439881f, 0.1222977958f, 0.1910618778f, 0.2709916112f,
    0.3591982246f,   0.4524937451f,  0.5475062549f,  0.6408017754f, 0.7290083888f, 0.8089381222f,
    0.8777022042f,   0.9328156012f,  0.9722875115f,  0.9947004675f};
NTKFAST_NUMBERS constexpr float kWeightFloat[] = {
    0.01357622971f, 0.03112676197f, 0.04757925584f, 0.06231448563f, 0.07479799441f, 0.0845782597f,
    0.09130170752f, 0.09472530523f, 0.09472530523f, 0.09130170752f, 0.0845782597f,  0.07479799441f,
    0.06231448563f, 0.04757925584f, 0.03112676197f, 0.01357622971f};
NTKFAST_NUMBERS constexpr float kBoxNodeFloat[] = {0.0694318442f, 0.3300094782f, 0.6699905218f,
                                                   0.9305681558f};
NTKFAST_NUMBERS constexpr float kBoxWeightFloat[] = {0.1739274226f, 0.3260725774f, 0.3260725774f,
                                                     0.1739274226f};

NTKFAST_NUMBERS constexpr double kNodeDouble[] = {
    0.00136806907525921823, 0.0071942442273658323, 0.0176188722062467846, 0.0325469620311301554,
    0.051839422116973938,   0.0753161931337150149, 0.102758102016028797,  0.13390894062985516,
    0.1684778665348924,     0.206142121379618835,  0.246550045533885305,  0.289324361934682327,
    0.334065698858936175,   0.380356318873931463,  0.427764019208601753,  0.475846167156130842,
    0.524153832843869158,   0.572235980791398247,  0.619643681126068537,  0.665934301141063825,
    0.710675638065317673,   0.753449954466114695,  0.793857878620381165,  0.8315221334651076,
    0.86609105937014484,    0.897241897983971203,  0.924683806866284985,  0.948160577883026062,
    0.967453037968869845,   0.982381127793753215,  0.992805755772634168,  0.998631930924740782};
NTKFAST_NUMBERS constexpr double kWeightDouble[] = {
    0.0035093050047350483, 0.0081371973654528353, 0.0126960326546310297, 0.0171369314565107166,
    0.0214179490111133403, 0.0254990296311880881, 0.0293420467392677736, 0.0329111113881809234,
    0.0361728970544242531, 0.0390969478935351532, 0.0416559621134733776, 0.0438260465022019056,
    0.0455869393478819424, 0.0469221995404022828, 0.0478193600396374297, 0.0482700442573639003,
    0.0482700442573639003, 0.0478193600396374297, 0.0469221995404022828, 0.0455869393478819424,
    0.0438260465022019056, 0.0416559621134733776, 0.0390969478935351532, 0.0361728970544242531,
    0.0329111113881809234, 0.0293420467392677736, 0.0254990296311880881, 0.0214179490111133403,
    0.0171369314565107166, 0.0126960326546310297, 0.0081371973654528353, 0.0035093050047350483};
NTKFAST_NUMBERS constexpr double kBoxNodeDouble[] = {
    0.0198550717512318842, 0.10166676129318663,  0.237233795041835507, 0.408282678752175098,
    0.591717321247824902,  0.762766204958164493, 0.89833323870681337,  0.980144928248768116};
NTKFAST_NUMBERS constexpr double kBoxWeightDouble[] = {
    0.0506142681451881296, 0.111190517226687235, 0.156853322938943644, 0.181341891689180991,
    0.181341891689180991,  0.156853322938943644, 0.111190517226687235, 0.0506142681451881296};

}  // namespace gauss_legendre_detail

template <class T>
struct GaussLegendre;

template <>
struct GaussLegendre<float> {
  static constexpr int kNodes = 16, kBoxNodes = 4;
  static NTKFAST_INLINE float node(int k) { return gauss_legendre_detail::kNodeFloat[k]; }
  static NTKFAST_INLINE float weight(int k) { return gauss_legendre_detail::kWeightFloat[k]; }
  static NTKFAST_INLINE float box_node(int k) { return gauss_legendre_detail::kBoxNodeFloat[k]; }
  static NTKFAST_INLINE float box_weight(int k) {
    return gauss_legendre_detail::kBoxWeightFloat[k];
  }
};

template <>
struct GaussLegendre<double> {
  static constexpr int kNodes = 32, kBoxNodes = 8;
  static NTKFAST_INLINE double node(int k) { return gauss_legendre_detail::kNodeDouble[k]; }
  static NTKFAST_INLINE double weight(int k) { return gauss_legendre_detail::kWeightDouble[k]; }
  static NTKFAST_INLINE double box_node(int k) { return gauss_legendre_detail::kBoxNodeDouble[k]; }
  static NTKFAST_INLINE double box_weight(int k) {
    return gauss_legendre_detail::kBoxWeightDouble[k];
  }
};

// Two integrals over [0, 1] at once: f(t, first, second) sets both integrands. The lanes are summed
// apart, which lets the compiler put them side by side into one vector.
template <class T>
struct TwoIntegrals {
  T first, second;
};

template <class T, class F>
NTKFAST_INLINE TwoIntegrals<T> integrate(const F& f) {
  using Rule = GaussLegendre<T>;
  constexpr int kLanes = 8;
  T first[kLanes] = {}, second[kLanes] = {};
  for (int block = 0; block < Rule::kNodes; block += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      T one = 0, two = 0;
      f(Rule::node(block + lane), one, two);
      first[lane] += Rule::weight(block + lane) * one;
      second[lane] += Rule::weight(block + lane) * two;
    }
  }
  TwoIntegrals<T> sum{0, 0};
  for (int lane = 0; lane < kLanes; ++lane) {
    sum.first += first[lane];
    sum.second += second[lane];
  }
  return sum;
}

// The mean of f(t, u) over the unit square.
template <class T, class F>
NTKFAST_INLINE T mean_over_square(const F& f) {
  using Rule = GaussLegendre<T>;
  T column[Rule::kBoxNodes] = {};
  for (int i = 0; i < Rule::kBoxNodes; ++i) {
    for (int j = 0; j < Rule::kBoxNodes; ++j) {
      column[j] += Rule::box_weight(i) * f(Rule::box_node(i), Rule::box_node(j));
    }
  }
  T sum = 0;
  for (int j = 0; j < Rule::kBoxNodes; ++j) sum += Rule::box_weight(j) * column[j];
  return sum;
}

}  // namespace ntkfast::inline NTKFAST_ISA
