// Sign and RectifiedMonomial: reference values of 120 digits, limits and zero rows.
#include <cmath>
#include <initializer_list>
#include <limits>

#include "doctest.h"
#include "math/duals/abrelu.hpp"
#include "math/duals/rectified_monomial.hpp"
#include "math/duals/sign.hpp"

namespace {

using ntkfast::PairStep;
using ntkfast::RectifiedMonomial;
using ntkfast::Sign;

template <class T>
constexpr double kUnit = std::numeric_limits<T>::epsilon() / 2;

template <class T, bool kSigned = true>
PairStep<T> rectified(int degree, double s) {
  const double params[] = {static_cast<double>(degree)};
  double constants[RectifiedMonomial::kConstants];
  RectifiedMonomial::constants(params, constants);
  T narrow[RectifiedMonomial::kConstants];
  for (int k = 0; k < RectifiedMonomial::kConstants; ++k) narrow[k] = static_cast<T>(constants[k]);
  return RectifiedMonomial::pair<T, kSigned>(narrow, static_cast<T>(s), nullptr, nullptr);
}

template <class T>
double sign_deficit(double s) {
  return Sign::pair<T, true>(nullptr, static_cast<T>(s), nullptr, nullptr).s;
}

struct Reference {
  int degree;
  double s, next, gain;
};

// mpmath, 150 digits: J_n by its definition's recurrence.
constexpr Reference kRectified[] = {
    {0, 0.0, 0.0, 0.0},
    {0, 0x1p-60, 4.1924245476587958e-10, 0.0},
    {0, 0x1p-40, 4.2930427368029323e-7, 0.0},
    {0, 0x1p-20, 0.00043960761118546568, 0.0},
    {0, 0x1p-7, 0.039814685538577477, 0.0},
    {0, 0.25, 0.23005345616261589, 0.0},
    {0, 0.75, 0.41956937674483376, 0.0},
    {0, 1.0, 0.5, 0.0},
    {0, -0.0, 1.0, 0.0},
    {0, -0x1p-60, 0.99999999958075755, 0.0},
    {0, -0x1p-20, 0.99956039238881453, 0.0},
    {0, -0x1p-3, 0.83913875348966751, 0.0},
    {0, -0.5, 0.66666666666666667, 0.0},
    {0, -0.9375, 0.51990734276928874, 0.0},
    {1, 0.0, 0.0, 1.0},
    {1, 0x1p-60, 8.673617377459803e-19, 0.99999999958075755},
    {1, 0x1p-40, 9.0949444147295333e-13, 0.99999957069572632},
    {1, 0x1p-20, 9.5339482142307872e-7, 0.99956039238881453},
    {1, 0x1p-7, 0.007605185948968334, 0.96018531446142252},
    {1, 0.25, 0.21199789244806572, 0.76994654383738411},
    {1, 0.75, 0.54669012215545854, 0.58043062325516624},
    {1, 1.0, 0.68169011381620933, 0.5},
    {1, -0.0, 1.0, 0.0},
    {1, -0x1p-60, 1.0, 4.1924245476587958e-10},
    {1, -0x1p-20, 0.99999999972050502, 0.00043960761118546568},
    {1, -0x1p-3, 0.98665247968116598, 0.16086124651033249},
    {1, -0.5, 0.89100221895577064, 0.33333333333333333},
    {1, -0.9375, 0.7123182122062074, 0.48009265723071126},
    {2, 0.0, 0.0, 1.3333333333333333},
    {2, 0x1p-60, 1.1564823173178714e-18, 1.3333333333333333},
    {2, 0x1p-40, 1.2126596023633529e-12, 1.3333333333321207},
    {2, 0x1p-20, 1.2715651490206906e-6, 1.3333320621402381},
    {2, 0x1p-7, 0.010376840274487813, 1.3231930854013756},
    {2, 0.25, 0.29671454835976411, 1.0506694767359124},
    {2, 0.75, 0.70528796077162518, 0.60441317045938862},
    {2, 1.0, 0.83333333333333333, 0.42441318157838756},
    {2, -0.0, 1.0, 0.0},
    {2, -0x1p-60, 1.0, 3.2323099040378486e-28},
    {2, -0x1p-20, 0.99999999999999986, 3.7265997756170731e-10},
    {2, -0x1p-3, 0.99911179539536005, 0.017796693758445366},
    {2, -0.5, 0.97116555718878135, 0.14533037472563914},
    {2, -0.9375, 0.85857434664097744, 0.38357571705839013},
    {3, 0.0, 0.0, 1.8},
    {3, 0x1p-60, 1.5612511283791264e-18, 1.8},
    {3, 0x1p-40, 1.6370904631902782e-12, 1.7999999999978172},
    {3, 0x1p-20, 1.7166126781379547e-6, 1.7999977111827318},
    {3, 0x1p-7, 0.013989445077307357, 1.7813216875059219},
    {3, 0.25, 0.38060233205543075, 1.2659138129524246},
    {3, 0.75, 0.81299452073177093, 0.53048167061107467},
    {3, 1.0, 0.91511736368432249, 0.3},
    {3, -0.0, 1.0, 0.0},
    {3, -0x1p-60, 1.0, 2.0185789939800468e-46},
    {3, -0x1p-20, 1.0, 2.5588529604809216e-16},
    {3, -0x1p-3, 0.99994295900913283, 0.001598768288351917},
    {3, -0.5, 0.99261766519676346, 0.051901997060193578},
    {3, -0.9375, 0.93242362845221275, 0.25456617604624061},
    {6, 0.0, 0.0, 3.2727272727272727},
    {6, 0x1p-60, 2.8386384152347752e-18, 3.2727272727272727},
    {6, 0x1p-40, 2.9765281148894598e-12, 3.2727272727190046},
    {6, 0x1p-20, 3.1211118105384503e-6, 3.2727186029702092},
    {6, 0x1p-7, 0.025292394880302745, 3.2023357121856218},
    {6, 0.25, 0.58250603820813034, 1.5596930006375474},
    {6, 0.75, 0.95361855575867393, 0.24209875519934149},
    {6, 1.0, 0.98917748917748918, 0.07055180161303066},
    {6, -0.0, 1.0, 0.0},
    {6, -0x1p-60, 1.0, 3.1596031626815907e-101},
    {6, -0x1p-20, 1.0, 5.3239208948436433e-35},
    {6, -0x1p-3, 0.99999998563041423, 7.4746148822568761e-7},
    {6, -0.5, 0.99988151791734136, 0.0015423662707356252},
    {6, -0.9375, 0.99289394877213691, 0.049402307517420847},
    {11, 0.0, 0.0, 5.7619047619047619},
    {11, 0x1p-60, 4.9976557284093728e-18, 5.7619047619047619},
    {11, 0x1p-40, 5.2404218530600441e-12, 5.7619047618771807},
    {11, 0x1p-20, 5.4949667944445046e-6, 5.7618758410200225},
    {11, 0x1p-7, 0.044100798723492712, 5.5293452935302931},
    {11, 0.25, 0.78530755144602706, 1.4133268535080493},
    {11, 0.75, 0.99554461831436208, 0.041038808187644259},
    {11, 1.0, 0.99965862504653535, 0.0039295070254822577},
    {11, -0.0, 1.0, 0.0},
    {11, -0x1p-60, 1.0, 2.4190571837735568e-151},
    {11, -0x1p-20, 1.0, 2.3611065648532704e-66},
    {11, -0x1p-3, 0.99999999999998608, 1.2810404134657183e-12},
    {11, -0.5, 0.99999988275761125, 2.6977928151533027e-6},
    {11, -0.9375, 0.99983759166459891, 0.0019939574720421635},
    {16, 0.0, 0.0, 8.2580645161290323},
    {16, 0x1p-60, 7.1627291911300422e-18, 8.2580645161290322},
    {16, 0x1p-40, 7.5106659242918759e-12, 8.2580645160707599},
    {16, 0x1p-20, 7.875474896121284e-6, 8.2580034132920129},
    {16, 0x1p-7, 0.062597311755960641, 7.7714555089175275},
    {16, 0.25, 0.88977889850983761, 1.0401013915904474},
    {16, 0.75, 0.9995739522003309, 0.005627101650531303},
    {16, 1.0, 0.99998929427725965, 0.00017672536289318559},
    {16, -0.0, 1.0, 0.0},
    {16, -0x1p-60, 1.0, -3.4670358357682328e-151},
    {16, -0x1p-20, 1.0, 8.4064212630890702e-98},
    {16, -0x1p-3, 1.0, 1.7637122672950832e-18},
    {16, -0.5, 0.99999999988491907, 3.7985157064372397e-9},
    {16, -0.9375, 0.99999631075729796, 6.495845866625424e-5},
};

struct SignReference {
  double s, next;
};
constexpr SignReference kSign[] = {
    {0.0, 0.0},
    {0x1p-60, 8.3848490953175916e-10},
    {0x1p-40, 8.5860854736058646e-7},
    {0x1p-20, 0.00087921522237093135},
    {0x1p-7, 0.079629371077154954},
    {0.25, 0.46010691232523177},
    {0.75, 0.83913875348966751},
    {1.0, 1.0},
    {-0.0, -0.0},
    {-0x1p-60, -8.3848490953175916e-10},
    {-0x1p-20, -0.00087921522237093135},
    {-0x1p-3, -0.32172249302066498},
    {-0.5, -0.66666666666666667},
    {-0.9375, -0.96018531446142252},
};

template <class T>
void check_reference() {
  for (const auto& [degree, s, next, gain] : kRectified) {
    CAPTURE(degree);
    CAPTURE(s);
    const auto got = rectified<T>(degree, s);
    const double largest = degree > 0 ? degree * degree / (2.0 * degree - 1) : 1;
    CHECK(std::fabs(got.s - next) <= 4 * kUnit<T> * next);
    CHECK(std::fabs(got.gain - gain) <= 4 * kUnit<T> * largest);
    if (std::signbit(s)) continue;
    const auto positive = rectified<T, false>(degree, s);  // contracted otherwise, perhaps
    CHECK(std::fabs(positive.s - got.s) <= 2 * kUnit<T> * next);
    CHECK(std::fabs(positive.gain - got.gain) <= 2 * kUnit<T> * largest);
  }
  for (const auto& [s, next] : kSign) {
    CAPTURE(s);
    CHECK(std::signbit(sign_deficit<T>(s)) == std::signbit(next));
    CHECK(std::fabs(sign_deficit<T>(s) - next) <= 4 * kUnit<T> * std::fabs(next));
  }
}

}  // namespace

TEST_CASE("the arc-cosine family agrees with 150-digit references") {
  check_reference<float>();
  check_reference<double>();
}

TEST_CASE("equal and opposite rows are exact at every order") {
  for (int degree = 0; degree <= RectifiedMonomial::kMaxDegree; ++degree) {
    CAPTURE(degree);
    CHECK(rectified<double>(degree, 0.0).s == 0);
    CHECK(rectified<float>(degree, 0.0).s == 0.f);
    CHECK(rectified<double>(degree, -0.0).s == 1);  // max(x, 0) max(-x, 0) = 0
    CHECK(rectified<double>(degree, -0.0).gain == 0);
  }
  CHECK(sign_deficit<double>(0.0) == 0);
  CHECK_FALSE(std::signbit(sign_deficit<double>(0.0)));
  CHECK(std::signbit(sign_deficit<double>(-0.0)));
  CHECK(std::fabs(sign_deficit<float>(1.0)) <= 1);
}

TEST_CASE("order one is Relu") {
  const double params[] = {0, 1};
  double relu[4];
  ntkfast::AbRelu::constants(params, relu);
  for (int k = -1000; k <= 1000; ++k) {
    const double s = k / 1000.0;
    CAPTURE(s);
    const auto want = ntkfast::AbRelu::pair<double, true>(relu, s, nullptr, nullptr);
    const auto got = rectified<double>(1, s);
    CHECK(std::fabs(got.s - want.s) <= 8 * kUnit<double>);
    CHECK(std::fabs(got.gain - want.gain) <= 8 * kUnit<double>);
  }
}

TEST_CASE("the gain is the slope of the map") {
  for (int degree = 1; degree <= RectifiedMonomial::kMaxDegree; ++degree) {
    for (const double m : {0.01, 0.3, 0.8, -0.8, -0.3}) {
      CAPTURE(degree);
      CAPTURE(m);
      constexpr double step = 1e-5;
      const double slope =  // rho' over rho: both fall as both deficits rise
          (rectified<double>(degree, m + step).s - rectified<double>(degree, m - step).s) /
          (2 * step);
      CHECK(std::fabs(slope - rectified<double>(degree, m).gain) <= 1e-6 * degree);
    }
  }
}

TEST_CASE("rows of the arc-cosine family: powers, and phi(0) = 0") {
  for (int degree = 0; degree <= RectifiedMonomial::kMaxDegree; ++degree) {
    CAPTURE(degree);
    const double params[] = {static_cast<double>(degree)};
    double moment = 0.5;
    for (int k = 1; k <= degree; ++k) moment *= 4.0 * (2 * k - 1);  // p = 2
    const auto row = RectifiedMonomial::row(params, 2.0, nullptr);
    CHECK(row.p == doctest::Approx(std::sqrt(moment)).epsilon(1e-15));
    CHECK(row.gain == (degree > 0 ? degree * degree / (2.0 * degree - 1) : 0));
    CHECK(RectifiedMonomial::row(params, 0.0, nullptr).p == 0);
  }
  CHECK(Sign::row(nullptr, 0.0, nullptr).p == 0);
  CHECK(Sign::row(nullptr, 1e-300, nullptr).p == 1);
  CHECK(Sign::row(nullptr, 3.0, nullptr).gain == 0);
}
