"""The functions of PromQL: names, signatures and the line of help that completion shows."""

from __future__ import annotations

from mamimon.metrics.promql.ast import Function, ValueType

_TYPES: dict[str, ValueType] = {"V": "vector", "M": "matrix", "S": "scalar", "T": "string"}

# name, argument types, result, how many more of the last argument (-1 = any), help; `*` = experimental
_TABLE = """
abs V V 0 Absolute value.
absent V V 0 1 if the vector has no elements; empty otherwise.
absent_over_time M V 0 1 if the range has no samples; empty otherwise.
acos V V 0 Arc cosine.
acosh V V 0 Inverse hyperbolic cosine.
asin V V 0 Arc sine.
asinh V V 0 Inverse hyperbolic sine.
atan V V 0 Arc tangent.
atanh V V 0 Inverse hyperbolic tangent.
avg_over_time M V 0 Mean of the samples in the range.
ceil V V 0 Round up to an integer.
changes M V 0 How often the value changed in the range.
clamp VSS V 0 Limit the values to [min, max].
clamp_max VS V 0 Limit the values to at most max.
clamp_min VS V 0 Limit the values to at least min.
cos V V 0 Cosine (radians).
cosh V V 0 Hyperbolic cosine.
count_over_time M V 0 Number of samples in the range.
day_of_month V V 1 Day of the month of a UTC time, 1 to 31.
day_of_week V V 1 Day of the week of a UTC time, 0 (Sunday) to 6.
day_of_year V V 1 Day of the year of a UTC time, 1 to 366.
days_in_month V V 1 Days of the month of a UTC time, 28 to 31.
deg V V 0 Radians to degrees.
delta M V 0 Difference of a gauge over the range, extrapolated.
deriv M V 0 Slope per second of a gauge by linear regression.
double_exponential_smoothing* MSS V 0 Smoothed value of a gauge by smoothing and trend factors.
end* - S 0 End of the query range, seconds since the epoch.
exp V V 0 e to the power of the value.
first_over_time M V 0 Oldest sample of the range.
floor V V 0 Round down to an integer.
histogram_avg V V 0 Mean of the observations of a native histogram.
histogram_count V V 0 Number of observations of a native histogram.
histogram_fraction SSV V 0 Fraction of the observations between lower and upper.
histogram_quantile SV V 0 The φ-quantile of a histogram, 0 ≤ φ ≤ 1.
histogram_quantiles* VTSS V 9 Several quantiles of a histogram, each under its value of a label.
histogram_stddev V V 0 Standard deviation of a native histogram.
histogram_stdvar V V 0 Variance of a native histogram.
histogram_sum V V 0 Sum of the observations of a native histogram.
hour V V 1 Hour of a UTC time, 0 to 23.
idelta M V 0 Difference of the last two samples of a gauge.
increase M V 0 Increase of a counter over the range, extrapolated, resets corrected.
info* VV V 1 Add the labels of matching info metrics (target_info).
irate M V 0 Per-second increase of a counter from its last two samples.
label_join VTTT V -1 Join the values of labels into one.
label_replace VTTTT V 0 Set a label from a regular expression on another.
last_over_time M V 0 Newest sample of the range.
ln V V 0 Natural logarithm.
log10 V V 0 Decimal logarithm.
log2 V V 0 Binary logarithm.
mad_over_time* M V 0 Median absolute deviation of the range.
max_of* SS S 0 The larger of two scalars.
max_over_time M V 0 Largest sample of the range.
min_of* SS S 0 The smaller of two scalars.
min_over_time M V 0 Smallest sample of the range.
minute V V 1 Minute of a UTC time, 0 to 59.
month V V 1 Month of a UTC time, 1 to 12.
pi - S 0 π.
predict_linear MS V 0 Value of a gauge t seconds from now by linear regression.
present_over_time M V 0 1 for every series with samples in the range.
quantile_over_time SM V 0 The φ-quantile of the samples in the range.
rad V V 0 Degrees to radians.
range* - S 0 Length of the query range in seconds.
rate M V 0 Per-second increase of a counter over the range, resets corrected.
resets M V 0 How often a counter was reset in the range.
round VS V 1 Round to the nearest multiple (default 1).
scalar V S 0 The value of a one-element vector; NaN otherwise.
sgn V V 0 Sign: -1, 0 or 1.
sin V V 0 Sine (radians).
sinh V V 0 Hyperbolic sine.
sort V V 0 Sort by value, ascending (instant queries).
sort_by_label* VT V -1 Sort by labels, ascending, in natural order.
sort_by_label_desc* VT V -1 Sort by labels, descending, in natural order.
sort_desc V V 0 Sort by value, descending (instant queries).
sqrt V V 0 Square root.
start* - S 0 Start of the query range, seconds since the epoch.
start_timestamp* V V 0 When the series started counting, seconds since the epoch.
stddev_over_time M V 0 Population standard deviation of the samples in the range.
stdvar_over_time M V 0 Population variance of the samples in the range.
step* - S 0 Step of the query in seconds.
sum_over_time M V 0 Sum of the samples in the range.
tan V V 0 Tangent (radians).
tanh V V 0 Hyperbolic tangent.
time - S 0 Evaluation time, seconds since the epoch.
timestamp V V 0 Time of each sample, seconds since the epoch.
ts_of_first_over_time* M V 0 Time of the oldest sample of the range.
ts_of_last_over_time* M V 0 Time of the newest sample of the range.
ts_of_max_over_time* M V 0 Time of the last maximum in the range.
ts_of_min_over_time* M V 0 Time of the last minimum in the range.
vector S V 0 A scalar as a vector without labels.
year V V 1 Year of a UTC time.
"""


def _read(line: str) -> Function:
    name, arguments, returns, variadic, text = line.split(" ", 4)
    return Function(
        name=name.rstrip("*"),
        arguments=tuple(_TYPES[letter] for letter in arguments.strip("-")),
        returns=_TYPES[returns],
        variadic=int(variadic),
        experimental=name.endswith("*"),
        help=text,
    )


FUNCTIONS: dict[str, Function] = {
    function.name: function for function in map(_read, _TABLE.strip().splitlines())
}
"""Every function by name."""

AGGREGATOR_HELP = {
    "avg": "Mean of the elements of each group.",
    "bottomk": "The k smallest elements of each group.",
    "count": "Number of elements of each group.",
    "count_values": "Number of elements by value.",
    "group": "1 for each group.",
    "limit_ratio": "A fixed share of the elements, chosen by hash.",
    "limitk": "k elements of each group.",
    "max": "Largest element of each group.",
    "min": "Smallest element of each group.",
    "quantile": "The φ-quantile of each group.",
    "stddev": "Population standard deviation of each group.",
    "stdvar": "Population variance of each group.",
    "sum": "Sum of each group.",
    "topk": "The k largest elements of each group.",
}
"""What completion says about the aggregators."""
