/* step.h -- named places at which a test stops or kills its process. They cost nothing: only
 * the test's own build of this folder, with TRIBUS_STEPS, has them, and the test defines the
 * hook. A step stands before and after every store that others can see. */
#ifndef TRIBUS_FABRIC_STEP_H
#define TRIBUS_FABRIC_STEP_H

#ifdef TRIBUS_STEPS
void tribus_step(const char *where);
#define TRIBUS_STEP(where) tribus_step(where)
#else
#define TRIBUS_STEP(where) ((void)0)
#endif

#endif
