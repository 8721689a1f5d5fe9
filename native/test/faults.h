// Fault injection behind native/sys.h, and the accounting of what the core maps.
#ifndef SLUICE_FAULTS_H
#define SLUICE_FAULTS_H

enum { FAULT_VARIANTS = 5, SHORT_TRANSFER = 4 };

// Makes the `at`-th call from now fail with its `variant`-th errno; variant SHORT_TRANSFER cuts the `at`-th transfer to
// one byte instead. `at` 0 injects nothing. Restarts the count and forgets named calls.
void fault_plan(int at, int variant);
// Makes the next call of that name fail with `error`, and nothing else.
void fault_next(const char *call, int error);
// The same of the next `times` calls of that name, and how many of them are still to come.
void fault_repeat(const char *call, int error, int times);
int fault_left(void);
// Calls (or transfers, with SHORT_TRANSFER) made since fault_plan().
int fault_count(void);
// The call that was made to fail, or "none".
const char *fault_victim(void);
// Bytes mapped and not unmapped by the core.
long mapped_bytes(void);

#endif
