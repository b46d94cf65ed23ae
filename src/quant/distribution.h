/* distribution.h -- densities that only src/quant needs; the rest is in quant_risk.h. */
#ifndef TRIBUS_QUANT_DISTRIBUTION_H
#define TRIBUS_QUANT_DISTRIBUTION_H

double tribus_quant_normal_density(double x);
double tribus_quant_student_density(double x, double nu);

#endif
