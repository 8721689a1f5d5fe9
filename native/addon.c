// The interface between JavaScript and the core: its functions, and the lifetime of a thread's ring. Every thread that loads the module has
// its own `struct thread`.
#include <errno.h>
#include <node_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "call.h"
#include "checksum.h"
#include "files.h"
#include "heap.h"
#include "host.h"
#include "ring.h"
#include "socket.h"
#include "splice.h"
#include "threads.h"
#include "tls_call.h"

enum { RINGS, ENTRIES, BUFFER_RING, SLAB, PAGE, BUFFERS };

struct thread {
  uv_loop_t *loop;
  struct sluice_ring ring;
  bool has_ring;
  napi_ref buffers[BUFFERS];
  struct sluice_host *host;
  struct tls_thread *tls;
};

// Entry point of every function; its body is passed as the function's data.
static napi_value enter_body(napi_env env, napi_callback_info info) {
  struct call call = {.env = env};
  size_t count = MAX_ARGS;
  const struct function *function = NULL;
  napi_get_cb_info(env, info, &count, call.values, NULL, (void **)&function);
  napi_get_instance_data(env, (void **)&call.thread);
  return function->body(&call);
}

static napi_value share(napi_env env, struct thread *thread, int which, void *memory, size_t bytes) {
  napi_value buffer = NULL;
  if (napi_create_external_arraybuffer(env, memory, bytes, NULL, NULL, &buffer) != napi_ok) return NULL;
  if (napi_create_reference(env, buffer, 1, &thread->buffers[which]) == napi_ok) return buffer;
  napi_detach_arraybuffer(env, buffer);
  return NULL;
}

static void destroy_ring(napi_env env, struct thread *thread) {
  if (!thread->has_ring) return;
  // Detach the memory from JavaScript before it is unmapped.
  for (int which = 0; which < BUFFERS; which++) {
    napi_value buffer = NULL;
    if (thread->buffers[which] == NULL) continue;
    if (napi_get_reference_value(env, thread->buffers[which], &buffer) == napi_ok && buffer != NULL) {
      napi_detach_arraybuffer(env, buffer);
    }
    napi_delete_reference(env, thread->buffers[which]);
    thread->buffers[which] = NULL;
  }
  sluice_ring_destroy(&thread->ring);
  thread->has_ring = false;
}

static napi_value describe(napi_env env, struct thread *thread) {
  struct sluice_ring *ring = &thread->ring;
  napi_value result = NULL;
  char reason[96] = "";
  if (ring->fallback_errno != 0) {
    char name[64];
    snprintf(reason, sizeof reason, "%s: %s", ring->call, uv_err_name_r(-ring->fallback_errno, name, sizeof name));
  }
  const struct { const char *key; void *memory; size_t bytes; } buffers[BUFFERS] = {
      [RINGS] = {"rings", ring->rings, ring->rings_size},
      [ENTRIES] = {"entries", ring->entries, ring->entries_size},
      [BUFFER_RING] = {"bufferRing", ring->buffers, ring->buffers_size},
      [SLAB] = {"slab", ring->slab, ring->slab_size},
      [PAGE] = {"page", ring->page, ring->page_size},
  };
  uint64_t address = (uint64_t)(uintptr_t)ring->slab;
  const struct { const char *key; double value; } numbers[] = {
      {"ringId", ring->id},         {"slabLow", (double)(address & UINT32_MAX)}, {"slabHigh", (double)(address >> 32)},
      {"sqHead", ring->sq_head},    {"sqTail", ring->sq_tail},                   {"cqHead", ring->cq_head},
      {"cqTail", ring->cq_tail},    {"cqes", ring->cqes},                        {"sqEntries", ring->sq_entries},
      {"cqEntries", ring->cq_entries},
      {"bundles", ring->bundles},
  };
  napi_create_object(env, &result);
  set(env, result, "executor", from_string(env, ring->executor == SLUICE_URING ? "uring" : "epoll"));
  set(env, result, "reason", from_string(env, reason));
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    set(env, result, numbers[i].key, from_double(env, numbers[i].value));
  }
  for (int which = 0; which < BUFFERS; which++) {
    napi_value buffer = share(env, thread, which, buffers[which].memory, buffers[which].bytes);
    if (buffer == NULL) {
      destroy_ring(env, thread);
      napi_throw_error(env, NULL, "create: this runtime does not allow external ArrayBuffers");
      return NULL;
    }
    set(env, result, buffers[which].key, buffer);
  }
  return result;
}

static napi_value create(struct call *call) {
  struct thread *thread = call->thread;
  char name[8];
  string_arg(call, 0, name, sizeof name);
  if (thread->has_ring) {
    napi_throw_error(call->env, "EEXIST", "create: this thread has a ring already");
    return NULL;
  }
  enum sluice_executor executor = SLUICE_AUTO;
  if (strcmp(name, "uring") == 0) {
    executor = SLUICE_URING;
  } else if (strcmp(name, "epoll") == 0) {
    executor = SLUICE_EPOLL;
  } else if (strcmp(name, "auto") != 0) {
    napi_throw_type_error(call->env, "ERR_INVALID_ARG_VALUE", "create: the executor is one of auto, uring, epoll");
    return NULL;
  }
  int64_t slab_bytes = long_arg(call, 3);
  int error = sluice_ring_create(&thread->ring, executor, uint_arg(call, 1), uint_arg(call, 2),
                                 slab_bytes < 0 ? 0 : (size_t)slab_bytes);
  if (error < 0) return throw_system(call->env, thread->ring.call, thread->ring.call, error);
  thread->has_ring = true;
  return describe(call->env, thread);
}

static napi_value enter(struct call *call) {
  if (!call->thread->has_ring) return reply(call, -EBADF);
  return reply(call, sluice_ring_enter(&call->thread->ring, uint_arg(call, 0), uint_arg(call, 1),
                                         long_arg(call, 2), uint_arg(call, 3)));
}

static napi_value discard(struct call *call) {
  size_t length;
  const int32_t *numbers = array_arg(call, 0, napi_int32_array, &length);
  uint32_t from = uint_arg(call, 1), count = uint_arg(call, 2), bytes = uint_arg(call, 3);
  if (!call->thread->has_ring || numbers == NULL || from > length || count > length - from) return reply(call, 0);
  return reply(call, (int32_t)sluice_ring_discard(&call->thread->ring, numbers + from, count, bytes));
}

// Of a column, which may be of any type: cells from `from` on.
static napi_value discard_cells(struct call *call) {
  static const uint8_t widths[] = {[napi_int8_array] = 1,    [napi_uint8_array] = 1,  [napi_uint8_clamped_array] = 1,
                                   [napi_int16_array] = 2,   [napi_uint16_array] = 2, [napi_int32_array] = 4,
                                   [napi_uint32_array] = 4,  [napi_float32_array] = 4, [napi_float64_array] = 8};
  uint8_t *cells = NULL;
  size_t length = 0, from = uint_arg(call, 1), count = uint_arg(call, 2);
  napi_typedarray_type type = napi_int8_array;
  bool typed = false;
  napi_is_typedarray(call->env, call->values[0], &typed);
  if (typed) napi_get_typedarray_info(call->env, call->values[0], &type, &length, (void **)&cells, NULL, NULL);
  if (cells == NULL || (size_t)type >= sizeof widths || from > length || count > length - from) return reply(call, 0);
  return reply(call, (int32_t)sluice_discard_within(cells + from * widths[type], count * widths[type]));
}

static napi_value shrink_ring(struct call *call) {
  if (call->thread->has_ring) sluice_ring_shrink(&call->thread->ring);
  return NULL;
}

static napi_value destroy(struct call *call) {
  destroy_ring(call->env, call->thread);
  return NULL;
}

static napi_value run(struct call *call) {
  napi_valuetype type = napi_undefined;
  napi_typeof(call->env, call->values[0], &type);
  if (type != napi_function) {
    napi_throw_type_error(call->env, "ERR_INVALID_ARG_TYPE", "run: step must be a function");
  } else if (call->thread->host != NULL) {
    napi_throw_error(call->env, "EEXIST", "run: this thread is running already");
  } else {
    sluice_host_start(call->env, call->thread->loop, call->values[0], &call->thread->host);
  }
  return NULL;
}

static napi_value stop_run(struct call *call) {
  if (call->thread->host != NULL) sluice_host_stop(call->thread->host, true);
  return NULL;
}

static napi_value uv_timeout(struct call *call) { return reply(call, sluice_uv_timeout(call->thread->loop)); }
static napi_value uv_fd(struct call *call) { return reply(call, uv_backend_fd(call->thread->loop)); }

static napi_value listen_on(struct call *call) {
  char host[64], what[160];
  string_arg(call, 0, host, sizeof host);
  uint32_t port = uint_arg(call, 1);
  const char *failed = "bind";
  int fd = port > UINT16_MAX ? -EINVAL
                             : sluice_listen(host, (uint16_t)port, int_arg(call, 2), uint_arg(call, 3),
                                             uint_arg(call, 4), uint_arg(call, 5), &failed);
  if (fd >= 0) return reply(call, fd);
  snprintf(what, sizeof what, strchr(host, ':') != NULL ? "listen tcp [%s]:%u" : "listen tcp %s:%u", host, port);
  return throw_system(call->env, what, failed, fd);
}

static napi_value refuse(struct call *call) { return reply(call, sluice_refuse(int_arg(call, 0))); }

static napi_value open_socket(struct call *call) {
  return reply(call, sluice_socket(int_arg(call, 0), uint_arg(call, 1), uint_arg(call, 2)));
}

static napi_value close_fd(struct call *call) { return reply(call, sluice_close(int_arg(call, 0))); }
static napi_value shutdown_fd(struct call *call) {
  return reply(call, sluice_shutdown(int_arg(call, 0), int_arg(call, 1)));
}
static napi_value reset_on_close(struct call *call) { return reply(call, sluice_reset_on_close(int_arg(call, 0))); }
static napi_value nonblock(struct call *call) {
  return reply(call, sluice_nonblock(int_arg(call, 0), bool_arg(call, 1)));
}
static napi_value unanswered(struct call *call) { return reply(call, sluice_unanswered(int_arg(call, 0))); }
static napi_value connected_to_itself(struct call *call) {
  return reply(call, sluice_connected_to_itself(int_arg(call, 0)));
}
static napi_value local_port(struct call *call) { return reply(call, sluice_local_port(int_arg(call, 0))); }

static napi_value name_with(const struct call *call, void (*lookup)(int, char[SLUICE_NAME_MAX])) {
  char name[SLUICE_NAME_MAX];
  lookup(int_arg(call, 0), name);
  return from_string(call->env, name);
}
static napi_value peer_name(struct call *call) { return name_with(call, sluice_peer_name); }
static napi_value local_name(struct call *call) { return name_with(call, sluice_local_name); }
static napi_value original_destination(struct call *call) { return name_with(call, sluice_original_destination); }

static napi_value original_sockaddr(struct call *call) {
  size_t length;
  uint8_t *into = array_arg(call, 1, napi_uint8_array, &length);
  uint32_t at = uint_arg(call, 2);
  struct sockaddr_storage address;
  socklen_t size = sluice_original_sockaddr(int_arg(call, 0), &address);
  if (into == NULL || at > length || size > length - at) return reply(call, 0);
  memcpy(into + at, &address, size);
  return reply(call, (int32_t)size);
}

static napi_value peek(struct call *call) {
  size_t length;
  uint8_t *into = array_arg(call, 1, napi_uint8_array, &length);
  if (into == NULL || length == 0) return reply(call, -EINVAL);
  return reply(call, sluice_peek(int_arg(call, 0), into, length));
}

static napi_value open_pipe(struct call *call) {
  size_t length;
  int32_t *ends = array_arg(call, 1, napi_int32_array, &length);
  return reply(call, length < 2 ? -EINVAL : sluice_pipe(uint_arg(call, 0), ends));
}

static napi_value pump(struct call *call) {
  if (!call->thread->has_ring) return reply(call, EBADF << 8 | PUMP_SOURCE_FAILED);
  struct sluice_pump state = {.source = int_arg(call, 0),
                              .pipe_read = int_arg(call, 1),
                              .pipe_write = int_arg(call, 2),
                              .destination = int_arg(call, 3),
                              .in_pipe = long_arg(call, 4),
                              .limit = long_arg(call, 5)};
  int flags = sluice_pump(&state);
  call->thread->ring.page[1] = (double)state.in;
  call->thread->ring.page[2] = (double)state.out;
  return reply(call, flags);
}

static napi_value trim_heap(struct call *call) {
  sluice_heap_trim();
  return reply(call, 0);
}

static napi_value raise_file_limit(struct call *call) {
  return from_double(call->env, (double)sluice_raise_file_limit().rlim_cur);
}

static napi_value thread_cpu(struct call *call) {
  return from_double(call->env, (double)sluice_thread_cpu(int_arg(call, 0)));
}

static napi_value thread_runnable(struct call *call) { return reply(call, sluice_thread_runnable(int_arg(call, 0))); }

static napi_value thread_background(struct call *call) {
  return reply(call, sluice_thread_background(int_arg(call, 0)));
}

static napi_value rest(struct call *call) {
  sluice_thread_rest(uint_arg(call, 0));
  return reply(call, 0);
}

static napi_value checksum(struct call *call) {
  size_t length;
  const uint8_t *octets = array_arg(call, 0, napi_uint8_array, &length);
  return from_double(call->env, octets == NULL ? 0 : sluice_checksum(octets, length));
}

static napi_value sockaddr_bytes(struct call *call) {
  char host[64];
  string_arg(call, 0, host, sizeof host);
  size_t length;
  uint8_t *into = array_arg(call, 2, napi_uint8_array, &length);
  uint32_t port = uint_arg(call, 1), at = uint_arg(call, 3);
  struct sockaddr_storage address;
  socklen_t size = port > UINT16_MAX ? 0 : sluice_parse_address(host, (uint16_t)port, &address);
  if (into == NULL || at > length || size > length - at) return reply(call, 0);
  memcpy(into + at, &address, size);
  return reply(call, (int32_t)size);
}

struct tls_thread **tls_of(struct thread *thread) { return &thread->tls; }

uint8_t *slab_of(struct thread *thread, size_t *length) {
  *length = thread->has_ring ? thread->ring.slab_size : 0;
  return thread->has_ring ? thread->ring.slab : NULL;
}

// Runs when the environment ends, also by Worker.terminate(): no JavaScript from now on.
static void cleanup(void *data) {
  struct thread *thread = data;
  if (thread->host != NULL) sluice_host_stop(thread->host, false);
  // The isolate's last garbage collection does not touch external memory, so it may be freed now.
  if (thread->has_ring) sluice_ring_destroy(&thread->ring);
  thread->has_ring = false;
  tls_cleanup(thread);
}

static void free_thread(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  free(data);
}

static void offer(napi_env env, napi_value exports, const struct function *functions, size_t count) {
  for (size_t i = 0; i < count; i++) {
    napi_value function = NULL;
    napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, enter_body, (void *)&functions[i], &function);
    set(env, exports, functions[i].name, function);
  }
}

NAPI_MODULE_INIT() {
  static const struct function functions[] = {
      {"create", create},
      {"enter", enter},
      {"run", run},
      {"stopRun", stop_run},
      {"uvTimeout", uv_timeout},
      {"uvFd", uv_fd},
      {"destroy", destroy},
      {"discard", discard},
      {"discardCells", discard_cells},
      {"shrinkRing", shrink_ring},
      {"listen", listen_on},
      {"refuse", refuse},
      {"socket", open_socket},
      {"close", close_fd},
      {"shutdown", shutdown_fd},
      {"resetOnClose", reset_on_close},
      {"nonblock", nonblock},
      {"unanswered", unanswered},
      {"connectedToItself", connected_to_itself},
      {"localPort", local_port},
      {"peerName", peer_name},
      {"localName", local_name},
      {"originalDestination", original_destination},
      {"originalSockaddr", original_sockaddr},
      {"peek", peek},
      {"pipe", open_pipe},
      {"pump", pump},
      {"trimHeap", trim_heap},
      {"raiseFileLimit", raise_file_limit},
      {"threadCpu", thread_cpu},
      {"threadRunnable", thread_runnable},
      {"threadBackground", thread_background},
      {"rest", rest},
      {"checksum", checksum},
      {"sockaddr", sockaddr_bytes},
  };
  sluice_heap_bound();
  struct thread *thread = calloc(1, sizeof *thread);
  if (thread == NULL || napi_get_uv_event_loop(env, &thread->loop) != napi_ok ||
      napi_set_instance_data(env, thread, free_thread, NULL) != napi_ok) {
    free(thread);
    napi_throw_error(env, NULL, "sluice: the native module could not be initialised");
    return NULL;
  }
  napi_add_env_cleanup_hook(env, cleanup, thread);
  offer(env, exports, functions, sizeof functions / sizeof *functions);
  offer(env, exports, tls_functions, TLS_FUNCTIONS);
  return exports;
}
