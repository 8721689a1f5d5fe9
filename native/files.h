// The limit of file descriptors of the process.
#ifndef SLUICE_FILES_H
#define SLUICE_FILES_H

#include <sys/resource.h>

// A sandbox may refuse to say what the limit is. Then it is the usual one, so that there is room for some clients.
#define SLUICE_USUAL_FILES 1024u

struct rlimit sluice_file_limit(void);
// Raises it to the hard limit, if that is allowed; returns what is in force.
struct rlimit sluice_raise_file_limit(void);

#endif
