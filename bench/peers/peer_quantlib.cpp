/* peer_quantlib.cpp -- QuantLib, for `tribus bench quant`: the same work on the same numbers.
 *
 * usage: peer_quantlib CASE FILE
 *
 * FILE holds doubles of this machine: records, width, then records x width inputs. The results
 * are appended after the inputs, so that the bench can compare them, and the CPU time of one pass
 * is printed as JSON. C++, because QuantLib is; what is built before the clock starts is said at
 * each case. */
#include <ql/exercise.hpp>
#include <ql/instruments/vanillaoption.hpp>
#include <ql/math/statistics/riskstatistics.hpp>
#include <ql/pricingengines/blackscholescalculator.hpp>
#include <ql/pricingengines/vanilla/analyticeuropeanengine.hpp>
#include <ql/processes/blackscholesprocess.hpp>
#include <ql/quotes/simplequote.hpp>
#include <ql/settings.hpp>
#include <ql/termstructures/volatility/equityfx/blackconstantvol.hpp>
#include <ql/termstructures/yield/flatforward.hpp>
#include <ql/time/calendars/nullcalendar.hpp>
#include <ql/time/daycounters/actual365fixed.hpp>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <map>
#include <vector>

namespace ql = QuantLib;

/* One option of the file, in the order of tribus_quant_option. */
struct Option {
    double call, strike, spot, dividend, rate, years, volatility;

    ql::Option::Type type() const
    {
        return call != 0.0 ? ql::Option::Call : ql::Option::Put;
    }
};

static double now()
{
    timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

/* The formula alone: a BlackScholesCalculator for each option. Twice, the second is timed. */
static double calculator(const std::vector<Option> &options, std::vector<double> &out)
{
    double began = 0.0;

    for (int pass = 0; pass < 2; pass++) {
        double *to = out.data();

        began = now();
        for (const Option &o : options) {
            const ql::BlackScholesCalculator c(
                o.type(), o.strike, o.spot, std::exp(-o.dividend * o.years),
                o.volatility * std::sqrt(o.years), std::exp(-o.rate * o.years));

            *to++ = c.value();
            *to++ = c.delta();
            *to++ = c.gamma();
            *to++ = c.vega(o.years);
            *to++ = c.theta(o.years);
            *to++ = c.rho(o.years);
        }
    }
    return now() - began;
}

/* Instruments with AnalyticEuropeanEngine, one process for each volatility, all on one quote.
 * They are built and priced once; timed is what a tick costs: the quote moves to the spot of the
 * file, and every option is priced again. */
static double engine(const std::vector<Option> &options, std::vector<double> &out)
{
    const ql::DayCounter days = ql::Actual365Fixed();
    const ql::Date today(22, ql::November, 2026);
    const auto quote = ql::ext::make_shared<ql::SimpleQuote>(options[0].spot * 1.01);
    std::map<double, ql::ext::shared_ptr<ql::PricingEngine>> engines;
    std::vector<ql::ext::shared_ptr<ql::VanillaOption>> instruments;
    double *to = out.data(), began;

    ql::Settings::instance().evaluationDate() = today;
    for (const Option &o : options) {
        auto &e = engines[o.volatility];

        if (!e) {
            const ql::Handle<ql::YieldTermStructure> dividend(
                ql::ext::make_shared<ql::FlatForward>(today, o.dividend, days)),
                rate(ql::ext::make_shared<ql::FlatForward>(today, o.rate, days));
            const ql::Handle<ql::BlackVolTermStructure> volatility(
                ql::ext::make_shared<ql::BlackConstantVol>(today, ql::NullCalendar(),
                                                           o.volatility, days));

            e = ql::ext::make_shared<ql::AnalyticEuropeanEngine>(
                ql::ext::make_shared<ql::BlackScholesMertonProcess>(
                    ql::Handle<ql::Quote>(quote), dividend, rate, volatility));
        }
        instruments.push_back(ql::ext::make_shared<ql::VanillaOption>(
            ql::ext::make_shared<ql::PlainVanillaPayoff>(o.type(), o.strike),
            ql::ext::make_shared<ql::EuropeanExercise>(
                today + static_cast<int>(std::lround(o.years * 365.0)))));
        instruments.back()->setPricingEngine(e);
        instruments.back()->NPV();
    }
    began = now();
    quote->setValue(options[0].spot);
    for (const auto &i : instruments) {
        *to++ = i->NPV();
        *to++ = i->delta();
        *to++ = i->gamma();
        *to++ = i->vega();
        *to++ = i->theta();
        *to++ = i->rho();
    }
    return now() - began;
}

/* Historical and Gaussian VaR and Gaussian ES at 99 % of each series. Twice, the second is
 * timed; its historical ES leaves out the quantile itself and is not compared. */
static double risk(const std::vector<double> &series, size_t width,
                   std::vector<double> &out)
{
    double began = 0.0;

    for (int pass = 0; pass < 2; pass++) {
        double *to = out.data();

        began = now();
        for (size_t i = 0; i < series.size(); i += width) {
            ql::RiskStatistics s;

            s.reserve(width);
            s.addSequence(series.begin() + static_cast<std::ptrdiff_t>(i),
                          series.begin() + static_cast<std::ptrdiff_t>(i + width));
            *to++ = s.valueAtRisk(0.99);
            *to++ = s.gaussianValueAtRisk(0.99);
            *to++ = s.gaussianExpectedShortfall(0.99);
        }
    }
    return now() - began;
}

static bool run(const char *kase, std::FILE *file)
{
    double head[2], ns;
    std::vector<double> out;

    if (std::fread(head, sizeof(double), 2, file) != 2)
        return false;
    const size_t records = static_cast<size_t>(head[0]),
                 width = static_cast<size_t>(head[1]);
    std::vector<double> in(records * width);
    if (records == 0 || std::fread(in.data(), sizeof(double), in.size(), file) != in.size())
        return false;
    if (std::strncmp(kase, "option-", 7) == 0 && width * sizeof(double) == sizeof(Option)) {
        std::vector<Option> options(records);

        std::memcpy(options.data(), in.data(), in.size() * sizeof(double));
        out.resize(records * 6);
        ns = std::strncmp(kase, "option-tick", 11) == 0 ? engine(options, out)
                                                        : calculator(options, out);
    } else if (std::strncmp(kase, "var-", 4) == 0) {
        out.resize(records * 3);
        ns = risk(in, width, out);
    } else {
        return false;
    }
    if (std::fseek(file, 0, SEEK_CUR) != 0 ||
        std::fwrite(out.data(), sizeof(double), out.size(), file) != out.size())
        return false;
    std::printf("{\"path\": \"quantlib\", \"p50_ns\": %.0f}\n", ns);
    return true;
}

int main(int argc, char **argv)
{
    std::FILE *file = argc == 3 ? std::fopen(argv[2], "r+b") : nullptr;
    bool good = false;

    try {
        good = file != nullptr && run(argv[1], file);
    } catch (const std::exception &e) {
        std::fprintf(stderr, "peer_quantlib: %s\n", e.what());
    }
    if (file != nullptr && std::fclose(file) != 0)
        good = false;
    if (!good)
        std::fprintf(stderr, "peer_quantlib: needs a case and a file of its inputs\n");
    return good ? 0 : 1;
}
