#include "tls_call.h"

#include <stdlib.h>
#include <string.h>

#include "tls_internal.h"

#ifdef SLUICE_HAS_OPENSSL

struct tls_thread {
  struct sluice_tls *tls;
  napi_ref page;
};

static struct tls_thread *thread_of(const struct call *call) {
  struct tls_thread **place = tls_of(call->thread);
  if (*place != NULL) return *place;
  struct tls_thread *made = calloc(1, sizeof *made);
  if (made != NULL) made->tls = sluice_tls_create();
  if (made == NULL || made->tls == NULL) {
    free(made);
    napi_throw_error(call->env, NULL, "tls: out of memory");
    return NULL;
  }
  return *place = made;
}

void tls_cleanup(struct thread *thread) {
  struct tls_thread **place = tls_of(thread);
  if (*place == NULL) return;
  sluice_tls_destroy((*place)->tls);
  free(*place);
  *place = NULL;
}

static napi_value property(napi_env env, napi_value object, const char *key, napi_valuetype wanted) {
  napi_value value = NULL;
  napi_valuetype type = napi_undefined;
  if (napi_get_named_property(env, object, key, &value) != napi_ok) return NULL;
  return napi_typeof(env, value, &type) == napi_ok && type == wanted ? value : NULL;
}

static bool flag(napi_env env, napi_value object, const char *key) {
  bool value = false;
  napi_value found = property(env, object, key, napi_boolean);
  if (found != NULL) napi_get_value_bool(env, found, &value);
  return value;
}

static uint32_t number(napi_env env, napi_value object, const char *key) {
  uint32_t value = 0;
  napi_value found = property(env, object, key, napi_number);
  if (found != NULL) napi_get_value_uint32(env, found, &value);
  return value;
}

// Values read from the options, until the call ends.
struct memory {
  void **blocks;
  uint32_t count, capacity;
  bool failed;
};

static void *block(struct memory *memory, size_t bytes) {
  if (memory->count == memory->capacity) {
    uint32_t capacity = 2 * memory->capacity + 16;
    void **grown = realloc(memory->blocks, capacity * sizeof *grown);
    if (grown == NULL) {
      memory->failed = true;
      return NULL;
    }
    memory->blocks = grown;
    memory->capacity = capacity;
  }
  void *made = calloc(1, bytes);
  if (made == NULL) memory->failed = true;
  else memory->blocks[memory->count++] = made;
  return made;
}

static void free_memory(struct memory *memory) {
  for (uint32_t i = 0; i < memory->count; i++) free(memory->blocks[i]);
  free(memory->blocks);
}

// "" for anything but a string.
static const char *text(napi_env env, struct memory *memory, napi_value value, size_t *length) {
  size_t bytes = 0;
  *length = 0;
  if (value == NULL || napi_get_value_string_utf8(env, value, NULL, 0, &bytes) != napi_ok) return "";
  char *into = block(memory, bytes + 1);
  if (into == NULL) return "";
  napi_get_value_string_utf8(env, value, into, bytes + 1, length);
  return into;
}

static uint32_t elements(napi_env env, napi_value object, const char *key, napi_value *list) {
  bool is_array = false;
  uint32_t count = 0;
  *list = property(env, object, key, napi_object);
  if (*list == NULL || napi_is_array(env, *list, &is_array) != napi_ok || !is_array) return 0;
  napi_get_array_length(env, *list, &count);
  return count;
}

static const char **texts(napi_env env, struct memory *memory, napi_value object, const char *key, uint32_t *count) {
  napi_value list = NULL;
  size_t length;
  *count = elements(env, object, key, &list);
  const char **into = *count == 0 ? NULL : block(memory, *count * sizeof *into);
  if (into == NULL) *count = 0;
  for (uint32_t i = 0; i < *count; i++) {
    napi_value value = NULL;
    napi_get_element(env, list, i, &value);
    into[i] = text(env, memory, value, &length);
  }
  return into;
}

static void read_options(napi_env env, struct memory *memory, napi_value from, struct sluice_tls_options *options) {
  napi_value list = NULL;
  options->server = flag(env, from, "server");
  options->system_trust = flag(env, from, "systemTrust");
  options->tickets = flag(env, from, "tickets");
  options->whole_names = flag(env, from, "wholeNames");
  options->unverified = flag(env, from, "unverified");
  options->client_certificate = number(env, from, "clientCertificate");
  options->min_version = number(env, from, "minVersion");
  options->max_hello = number(env, from, "maxHello");
  options->max_chain = number(env, from, "maxChain");
  options->anchors = texts(env, memory, from, "anchors", &options->anchor_count);
  options->alpn = texts(env, memory, from, "alpn", &options->alpn_count);
  uint32_t count = elements(env, from, "certificates", &list);
  struct sluice_tls_certificate *certificates = count == 0 ? NULL : block(memory, count * sizeof *certificates);
  if (certificates == NULL) return;
  for (uint32_t i = 0; i < count; i++) {
    napi_value one = NULL;
    size_t length;
    napi_get_element(env, list, i, &one);
    certificates[i].chain = text(env, memory, property(env, one, "chain", napi_string), &length);
    certificates[i].key = text(env, memory, property(env, one, "key", napi_string), &length);
    certificates[i].names = texts(env, memory, one, "names", &certificates[i].name_count);
  }
  options->certificates = certificates;
  options->certificate_count = count;
}

static napi_value make_context(struct call *call) {
  char message[SLUICE_TLS_MESSAGE] = "";
  struct memory memory = {0};
  struct sluice_tls_options options = {0};
  napi_valuetype type = napi_undefined;
  struct tls_thread *thread = thread_of(call);
  if (thread == NULL) return NULL;
  napi_typeof(call->env, call->values[0], &type);
  if (type != napi_object) {
    napi_throw_type_error(call->env, "ERR_INVALID_ARG_TYPE", "tlsContext: options must be an object");
    return NULL;
  }
  read_options(call->env, &memory, call->values[0], &options);
  uint32_t context = memory.failed ? 0 : sluice_tls_context(thread->tls, &options, message);
  for (uint32_t i = 0; i < options.certificate_count; i++) {
    OPENSSL_cleanse((char *)options.certificates[i].key, strlen(options.certificates[i].key));
  }
  free_memory(&memory);
  if (context > 0) return reply(call, (int32_t)context);
  napi_throw_error(call->env, "ERR_TLS", memory.failed ? "out of memory" : message);
  return NULL;
}

static napi_value free_context(struct call *call) {
  struct tls_thread *thread = thread_of(call);
  if (thread != NULL) sluice_tls_context_free(thread->tls, uint_arg(call, 0));
  return NULL;
}

// NULL for anything but a string; names are never longer.
static const char *name_arg(const struct call *call, int index, char *into, size_t size) {
  napi_valuetype type = napi_undefined;
  napi_typeof(call->env, call->values[index], &type);
  if (type != napi_string) return NULL;
  string_arg(call, index, into, size);
  return into;
}

static napi_value open_connection(struct call *call) {
  char server_name[256], expected[2049];
  struct tls_thread *thread = thread_of(call);
  if (thread == NULL) return NULL;
  const char *name = name_arg(call, 1, server_name, sizeof server_name);
  const char *wanted = name_arg(call, 2, expected, sizeof expected);
  return reply(call, sluice_tls_open(thread->tls, uint_arg(call, 0), name, wanted));
}

// The bytes of the slab named by two arguments; false, with an exception, if they are not inside it.
static bool place_arg(const struct call *call, int index, struct sluice_tls_bytes *place) {
  size_t size;
  uint8_t *slab = slab_of(call->thread, &size);
  uint32_t at = uint_arg(call, index), length = uint_arg(call, index + 1);
  if (at > size || length > size - at || length > INT32_MAX) {
    napi_throw_range_error(call->env, "ERR_OUT_OF_RANGE", "tls: not a place in the slab");
    return false;
  }
  *place = (struct sluice_tls_bytes){slab + at, length};
  return true;
}

static napi_value receive(struct call *call) {
  struct sluice_tls_bytes in, plain, wire;
  struct tls_thread *thread = thread_of(call);
  if (thread == NULL || !place_arg(call, 1, &in) || !place_arg(call, 3, &plain) || !place_arg(call, 5, &wire)) return NULL;
  return reply(call, sluice_tls_receive(thread->tls, uint_arg(call, 0), in, plain, wire));
}

static napi_value send_payload(struct call *call) {
  struct sluice_tls_bytes plain, wire;
  struct tls_thread *thread = thread_of(call);
  if (thread == NULL || !place_arg(call, 1, &plain) || !place_arg(call, 3, &wire)) return NULL;
  return reply(call, sluice_tls_send(thread->tls, uint_arg(call, 0), plain, wire));
}

static napi_value shut(struct call *call) {
  struct sluice_tls_bytes wire;
  struct tls_thread *thread = thread_of(call);
  if (thread == NULL || !place_arg(call, 1, &wire)) return NULL;
  return reply(call, sluice_tls_shutdown(thread->tls, uint_arg(call, 0), wire));
}

static napi_value close_connection(struct call *call) {
  struct tls_thread *thread = thread_of(call);
  if (thread != NULL) sluice_tls_close(thread->tls, uint_arg(call, 0));
  return NULL;
}

static napi_value page(struct call *call) {
  napi_value buffer = NULL, array = NULL;
  struct tls_thread *thread = thread_of(call);
  if (thread == NULL) return NULL;
  // One ArrayBuffer for the memory, for the lifetime of the environment.
  if (thread->page == NULL) {
    if (napi_create_external_arraybuffer(call->env, sluice_tls_page(thread->tls), SLUICE_TLS_PAGE * sizeof(int32_t), NULL,
                                         NULL, &buffer) != napi_ok ||
        napi_create_reference(call->env, buffer, 1, &thread->page) != napi_ok) {
      napi_throw_error(call->env, NULL, "tlsPage: this runtime does not allow external ArrayBuffers");
      return NULL;
    }
  } else {
    napi_get_reference_value(call->env, thread->page, &buffer);
  }
  napi_create_typedarray(call->env, napi_int32_array, SLUICE_TLS_PAGE, buffer, 0, &array);
  return array;
}

struct names {
  napi_env env;
  napi_value list;
  uint32_t count;
};

static void add_name(void *data, const char *name, size_t length) {
  struct names *names = data;
  napi_value value = NULL;
  if (napi_create_string_latin1(names->env, name, length, &value) != napi_ok) return;
  napi_set_element(names->env, names->list, names->count++, value);
}

static napi_value peer(struct call *call) {
  napi_env env = call->env;
  struct sluice_tls_peer peer = {.version = "", .group = "", .cipher = ""};
  struct names names = {.env = env};
  struct tls_thread *thread = thread_of(call);
  napi_value result = NULL, resumed = NULL;
  if (thread == NULL) return NULL;
  napi_create_array(env, &names.list);
  sluice_tls_peer(thread->tls, uint_arg(call, 0), &peer, add_name, &names);
  napi_create_object(env, &result);
  napi_get_boolean(env, peer.resumed, &resumed);
  set(env, result, "version", from_string(env, peer.version));
  set(env, result, "group", from_string(env, peer.group));
  set(env, result, "cipher", from_string(env, peer.cipher));
  set(env, result, "alpn", from_string(env, peer.alpn));
  set(env, result, "serverName", from_string(env, peer.server_name));
  set(env, result, "names", names.list);
  set(env, result, "resumed", resumed);
  return result;
}

static napi_value reason(struct call *call) {
  char words[SLUICE_TLS_MESSAGE];
  sluice_tls_reason(int_arg(call, 0), words);
  return from_string(call->env, words);
}

static napi_value verify_reason(struct call *call) {
  return from_string(call->env, sluice_tls_verify_reason(int_arg(call, 0)));
}

static napi_value version(struct call *call) { return from_string(call->env, sluice_tls_version()); }

#else

// Compiled without OpenSSL's headers: everything but TLS works.
void tls_cleanup(struct thread *thread) { (void)thread; }
static napi_value version(struct call *call) { return from_string(call->env, ""); }
static napi_value none(struct call *call) {
  napi_throw_error(call->env, "ERR_TLS", "the native module was compiled without the headers of OpenSSL");
  return NULL;
}
#define page none
#define make_context none
#define free_context none
#define open_connection none
#define receive none
#define send_payload none
#define shut none
#define close_connection none
#define peer none
#define reason none
#define verify_reason none

#endif

const struct function tls_functions[TLS_FUNCTIONS] = {
    {"tlsVersion", version},
    {"tlsPage", page},
    {"tlsContext", make_context},
    {"tlsContextFree", free_context},
    {"tlsOpen", open_connection},
    {"tlsReceive", receive},
    {"tlsSend", send_payload},
    {"tlsShutdown", shut},
    {"tlsClose", close_connection},
    {"tlsPeer", peer},
    {"tlsReason", reason},
    {"tlsVerifyReason", verify_reason},
};
