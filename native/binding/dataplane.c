/*
 * The dataplane's side of the boundary: JavaScript values → io/engine.h and back.
 *
 * A handle owns one engine and, when someone listens, one thread-safe function, which a worker's notify wakes; the
 * event loop then takes the events from the workers' rings. All functions run on the event loop's thread.
 */
#include "binding.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "../io/engine.h"
#include "../io/worker.h"

enum { ARGUMENTS_MAX = 5, PEER_NUMBERS = 7 };

struct handle {
    struct engine *engine; /* null once stopped */
    napi_threadsafe_function events;
};

/* --- arguments and results ------------------------------------------------------------------------------------ */

/* The handle of a first argument; null, with an exception pending, when it is none or has been stopped. */
static struct handle *get_handle(napi_env env, napi_value value)
{
    struct handle *handle = NULL;
    napi_valuetype type;
    if (napi_typeof(env, value, &type) != napi_ok || type != napi_external ||
        napi_get_value_external(env, value, (void **)&handle) != napi_ok) {
        napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "expected an engine");
        return NULL;
    }
    if (handle->engine == NULL) {
        napi_throw_error(env, "ERR_STOPPED", "the engine has been stopped");
        return NULL;
    }
    return handle;
}

struct engine *binding_get_engine(napi_env env, napi_value value)
{
    struct handle *handle = get_handle(env, value);
    return handle == NULL ? NULL : handle->engine;
}

static napi_value get_property(napi_env env, napi_value object, const char *name)
{
    napi_value value = NULL;
    return napi_get_named_property(env, object, name, &value) == napi_ok ? value : NULL;
}

static bool get_bool(napi_env env, napi_value object, const char *name)
{
    bool value = false;
    napi_get_value_bool(env, get_property(env, object, name), &value);
    return value;
}

static size_t get_string(napi_env env, napi_value value, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    napi_get_value_string_utf8(env, value, out, size, &len);
    return len;
}

static bool list_has(napi_env env, napi_value list, const char *wanted)
{
    uint32_t n = 0;
    napi_get_array_length(env, list, &n);
    for (uint32_t i = 0; i < n; i++) {
        napi_value item;
        char text[8];
        if (napi_get_element(env, list, i, &item) == napi_ok &&
            get_string(env, item, text, sizeof text) > 0 && strcmp(text, wanted) == 0)
            return true;
    }
    return false;
}

/* --- down ----------------------------------------------------------------------------------------------------- */

static void stop(struct handle *handle)
{
    engine_free(handle->engine);
    handle->engine = NULL;
    if (handle->events != NULL)
        napi_release_threadsafe_function(handle->events, napi_tsfn_abort);
    handle->events = NULL;
}

static void finalize_handle(napi_env env, void *data, void *hint)
{
    (void)env;
    (void)hint;
    stop(data);
    free(data);
}

static napi_value offloads_in_use(napi_env env, const struct engine *engine)
{
    bool gso = engine->underlays[0].gso || engine->underlays[1].gso;
    const char *names[] = {engine->tun.tso ? "tso" : NULL, engine->tun.uso ? "uso" : NULL,
                           gso ? "gso" : NULL, engine->gro ? "gro" : NULL};
    napi_value list, text;
    uint32_t n = 0;
    napi_create_array(env, &list);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i] == NULL)
            continue;
        napi_create_string_utf8(env, names[i], NAPI_AUTO_LENGTH, &text);
        napi_set_element(env, list, n++, text);
    }
    return list;
}

/* The names of what can be adopted, by enum engine_fd. */
static const char *const fd_names[ENGINE_FDS] = {"tun", "underlay4", "underlay6", "journal"};

static int get_fd(napi_env env, napi_value object, const char *name)
{
    int32_t fd = -1;
    napi_get_value_int32(env, get_property(env, object, name), &fd); /* null leaves it as it is */
    return fd;
}

/* The engine's descriptors, and which of them it adopted: two properties of the result. */
static void describe_fds(napi_env env, napi_value result, const struct engine *engine)
{
    napi_value fds, adopted, name;
    uint32_t n = 0;
    napi_create_object(env, &fds);
    napi_create_array(env, &adopted);
    for (size_t i = 0; i < ENGINE_FDS; i++) {
        bool was_adopted;
        int fd = engine_fd(engine, (enum engine_fd)i, &was_adopted);
        if (fd < 0)
            continue;
        binding_set_number(env, fds, fd_names[i], (uint32_t)fd);
        napi_create_string_utf8(env, fd_names[i], NAPI_AUTO_LENGTH, &name);
        if (was_adopted)
            napi_set_element(env, adopted, n++, name);
    }
    napi_set_named_property(env, result, "fds", fds);
    napi_set_named_property(env, result, "adopted", adopted);
}

static napi_value dataplane_open(napi_env env, napi_callback_info info)
{
    napi_value object, result, external;
    if (!binding_get_arguments(env, info, &object, 1))
        return NULL;
    char tun[IFNAMSIZ], format[8];
    uint32_t port = 0, workers = 1;
    napi_value offloads = get_property(env, object, "offloads");
    napi_value adopt = get_property(env, object, "adopt");
    get_string(env, get_property(env, object, "tun"), tun, sizeof tun);
    get_string(env, get_property(env, object, "format"), format, sizeof format);
    napi_get_value_uint32(env, get_property(env, object, "port"), &port);
    napi_get_value_uint32(env, get_property(env, object, "workers"), &workers);
    struct engine_options options = {
        .tun = tun,
        .format = strcmp(format, "vxlan") == 0 ? FORMAT_VXLAN : FORMAT_UDP,
        .port = (uint16_t)port,
        .underlay4 = get_bool(env, object, "underlay4"),
        .underlay6 = get_bool(env, object, "underlay6"),
        .tso = list_has(env, offloads, "tso"),
        .uso = list_has(env, offloads, "uso"),
        .gso = list_has(env, offloads, "gso"),
        .gro = list_has(env, offloads, "gro"),
        .workers = workers,
        .realtime = get_bool(env, object, "realtime"),
    };
    for (size_t i = 0; i < ENGINE_FDS; i++)
        options.adopt[i] = get_fd(env, adopt, fd_names[i]);
    struct failure failure;
    struct handle *handle = calloc(1, sizeof *handle);
    if (handle == NULL)
        return binding_throw_errno(env, ENOMEM, "calloc");
    handle->engine = engine_open(&options, &failure);
    if (handle->engine == NULL) {
        free(handle);
        return binding_throw_errno(env, failure.error, failure.call);
    }
    BINDING_TRY(env, napi_create_external(env, handle, finalize_handle, NULL, &external));
    BINDING_TRY(env, napi_create_object(env, &result));
    BINDING_TRY(env, napi_set_named_property(env, result, "engine", external));
    binding_set_string(env, result, "tun", handle->engine->tun.name);
    binding_set_number(env, result, "ifindex", (uint32_t)handle->engine->tun.ifindex);
    binding_set_number(env, result, "workers", handle->engine->worker_count);
    binding_set_boolean(env, result, "realtime", handle->engine->realtime);
    napi_set_named_property(env, result, "offloads", offloads_in_use(env, handle->engine));
    describe_fds(env, result, handle->engine);
    return result;
}

static napi_value dataplane_start(napi_env env, napi_callback_info info)
{
    napi_value values[2];
    struct handle *handle;
    int32_t gate = -1;
    if (!binding_get_arguments(env, info, values, 2) ||
        (handle = get_handle(env, values[0])) == NULL)
        return NULL;
    napi_get_value_int32(env, values[1], &gate); /* null leaves it as it is */
    int error = engine_start(handle->engine, gate);
    return error == 0 ? binding_undefined(env) : binding_throw_errno(env, error, "pthread_create");
}

static napi_value dataplane_pause(napi_env env, napi_callback_info info)
{
    napi_value values[2];
    struct handle *handle;
    char gate[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    if (!binding_get_arguments(env, info, values, 2) ||
        (handle = get_handle(env, values[0])) == NULL)
        return NULL;
    /* null is no text */
    bool named = get_string(env, values[1], gate, sizeof gate) > 0;
    int error = engine_pause(handle->engine, named ? gate : NULL);
    return error == 0 ? binding_undefined(env) : binding_throw_errno(env, error, "sendmsg");
}

static napi_value dataplane_replace_tables(napi_env env, napi_callback_info info)
{
    napi_value values[ARGUMENTS_MAX];
    struct handle *handle;
    uint32_t generation = 0;
    const uint8_t *bytes[3];
    size_t lengths[3];
    if (!binding_get_arguments(env, info, values, 5) ||
        (handle = get_handle(env, values[0])) == NULL)
        return NULL;
    napi_get_value_uint32(env, values[1], &generation);
    for (size_t i = 0; i < 3; i++)
        if (!binding_get_bytes(env, values[2 + i], &bytes[i], &lengths[i]))
            return NULL;
    int error = engine_replace_tables(handle->engine, generation, bytes[0], lengths[0], bytes[1],
                                      lengths[1], bytes[2], lengths[2]);
    return error == 0 ? binding_undefined(env) : binding_throw_errno(env, error, "replaceTables");
}

static napi_value dataplane_stop(napi_env env, napi_callback_info info)
{
    napi_value argument;
    void *data = NULL;
    if (!binding_get_arguments(env, info, &argument, 1))
        return NULL;
    BINDING_TRY(env, napi_get_value_external(env, argument, &data));
    stop(data);
    return binding_undefined(env);
}

/* --- up ------------------------------------------------------------------------------------------------------- */

static napi_value dataplane_advanced(napi_env env, napi_callback_info info)
{
    napi_value argument, result;
    struct handle *handle;
    if (!binding_get_arguments(env, info, &argument, 1) ||
        (handle = get_handle(env, argument)) == NULL)
        return NULL;
    BINDING_TRY(env, napi_get_boolean(env, engine_advanced(handle->engine), &result));
    return result;
}

/* The places of a BigUint64Array with at least `wanted` of them; null, with an exception pending, for other values. */
static uint64_t *get_places(napi_env env, napi_value value, size_t wanted)
{
    napi_typedarray_type type = napi_int8_array;
    size_t n = 0;
    void *data = NULL;
    bool typed = false;
    if (napi_is_typedarray(env, value, &typed) != napi_ok || !typed ||
        napi_get_typedarray_info(env, value, &type, &n, &data, NULL, NULL) != napi_ok ||
        type != napi_biguint64_array || n < wanted) {
        napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE",
                              "expected a BigUint64Array that is long enough");
        return NULL;
    }
    return data;
}

static napi_value dataplane_read_counters(napi_env env, napi_callback_info info)
{
    napi_value values[2];
    struct handle *handle;
    size_t n;
    const struct counter_info *table = counters_table(&n);
    if (!binding_get_arguments(env, info, values, 2) ||
        (handle = get_handle(env, values[0])) == NULL)
        return NULL;
    uint64_t *into = get_places(env, values[1], n);
    if (into == NULL)
        return NULL;
    for (size_t i = 0; i < n; i++)
        into[i] = engine_counter(handle->engine, table[i].offset);
    return binding_undefined(env);
}

static uint64_t relaxed(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void read_peer(const struct peer *peer, unsigned workers, uint64_t now_ms,
                      uint64_t into[PEER_NUMBERS])
{
    memset(into, 0, PEER_NUMBERS * sizeof *into);
    for (unsigned i = 0; i < workers; i++) {
        const struct peer_stats *stats = &peer->state->stats[i];
        uint64_t received = relaxed(&stats->last_received_ms);
        into[0] += relaxed(&stats->tx_packets);
        into[1] += relaxed(&stats->tx_bytes);
        into[2] += relaxed(&stats->rx_packets);
        into[3] += relaxed(&stats->rx_bytes);
        into[4] += relaxed(&stats->errors);
        into[5] = received > into[5] ? received : into[5];
    }
    into[6] = path_mtu(&peer->state->path, now_ms);
}

static napi_value dataplane_read_peer_counters(napi_env env, napi_callback_info info)
{
    napi_value values[2];
    struct handle *handle;
    if (!binding_get_arguments(env, info, values, 2) ||
        (handle = get_handle(env, values[0])) == NULL)
        return NULL;
    const struct tables *tables = engine_tables(handle->engine);
    uint32_t peers = tables == NULL ? 0 : tables->peer_count;
    uint64_t *into = get_places(env, values[1], (size_t)peers * PEER_NUMBERS);
    if (into == NULL)
        return NULL;
    uint64_t now_ms = worker_now_ms();
    for (uint32_t i = 0; i < peers; i++)
        read_peer(&tables->peers[i], handle->engine->worker_count, now_ms, into + i * PEER_NUMBERS);
    return binding_undefined(env);
}

static const char *event_kind(enum event_kind kind)
{
    switch (kind) {
    case EVENT_WORKER_FAILED:
        return "worker-failed";
    case EVENT_TUN_GONE:
        return "tun-gone";
    case EVENT_OFFLOAD_OFF:
        return "offload-off";
    case EVENT_TAKEN_OVER:
        return "taken-over";
    case EVENT_PEER_ERROR:
        return "peer-error";
    case EVENT_PEER_DROP:
        return "peer-drop";
    default:
        return "path-mtu";
    }
}

static napi_value event_object(napi_env env, const struct event *event)
{
    char address[INET6_ADDRSTRLEN];
    napi_value object;
    napi_create_object(env, &object);
    binding_set_string(env, object, "kind", event_kind(event->kind));
    bool about_peer = event->kind >= EVENT_PEER_ERROR, ipv4 = ip_is_mapped(event->address);
    binding_set_string(env, object, "code",
                       event->error == 0 ? NULL : strerrorname_np(event->error));
    binding_set_string(env, object, "address",
                       about_peer
                           ? inet_ntop(ipv4 ? AF_INET : AF_INET6, event->address + (ipv4 ? 12 : 0),
                                       address, sizeof address)
                           : NULL);
    binding_set_string(env, object, "detail", event->detail);
    if (event->kind == EVENT_PATH_MTU || event->kind == EVENT_TAKEN_OVER)
        binding_set_number(env, object, "value", event->value);
    else
        binding_set_string(env, object, "value", NULL);
    return object;
}

/* On the event loop: hands over whatever the rings hold. Several wake-ups may find it all taken by the first. */
static void deliver_events(napi_env env, napi_value receiver, void *context, void *data)
{
    struct handle *handle = context;
    struct event event;
    napi_value list;
    uint32_t n = 0;
    (void)data;
    if (env == NULL || handle->engine == NULL || napi_create_array(env, &list) != napi_ok)
        return;
    while (engine_take_event(handle->engine, &event))
        napi_set_element(env, list, n++, event_object(env, &event));
    if (n > 0)
        napi_call_function(env, binding_undefined(env), receiver, 1, &list, NULL);
}

/* On a worker's thread. A full queue means that a wake-up is under way already. */
static void notify(void *context)
{
    struct handle *handle = context;
    napi_call_threadsafe_function(handle->events, NULL, napi_tsfn_nonblocking);
}

static napi_value dataplane_on_events(napi_env env, napi_callback_info info)
{
    napi_value values[2], name;
    struct handle *handle;
    if (!binding_get_arguments(env, info, values, 2) ||
        (handle = get_handle(env, values[0])) == NULL)
        return NULL;
    if (handle->events != NULL) {
        napi_throw_error(env, "ERR_INVALID_STATE", "the engine has a receiver of events already");
        return NULL;
    }
    BINDING_TRY(env, napi_create_string_utf8(env, "weft events", NAPI_AUTO_LENGTH, &name));
    BINDING_TRY(env, napi_create_threadsafe_function(env, values[1], NULL, name, 1, 1, NULL, NULL,
                                                     handle, deliver_events, &handle->events));
    /* Listening alone does not keep the process alive. */
    BINDING_TRY(env, napi_unref_threadsafe_function(env, handle->events));
    engine_on_events(handle->engine, notify, handle);
    return binding_undefined(env);
}

/* --- the table of counters ------------------------------------------------------------------------------------ */

static napi_value dataplane_capabilities(napi_env env, napi_callback_info info)
{
    size_t n;
    const struct counter_info *table = counters_table(&n);
    napi_value result, counters, reasons, sizes;
    (void)info;
    BINDING_TRY(env, napi_create_object(env, &result));
    BINDING_TRY(env, napi_create_array_with_length(env, n, &counters));
    for (uint32_t i = 0; i < n; i++) {
        napi_value row;
        BINDING_TRY(env, napi_create_object(env, &row));
        binding_set_string(env, row, "name", table[i].name);
        binding_set_string(env, row, "direction", table[i].direction == DIRECTION_TX ? "tx" : "rx");
        binding_set_string(env, row, "kind", table[i].kind);
        binding_set_string(env, row, "description", table[i].sentence);
        napi_set_element(env, counters, i, row);
    }
    BINDING_TRY(env, napi_set_named_property(env, result, "counters", counters));
    BINDING_TRY(env, napi_create_array_with_length(env, DROP_COUNT, &reasons));
    for (uint32_t i = 0; i < DROP_COUNT; i++) {
        napi_value name;
        BINDING_TRY(env, napi_create_string_utf8(env, drop_name(i), NAPI_AUTO_LENGTH, &name));
        napi_set_element(env, reasons, i, name);
    }
    BINDING_TRY(env, napi_set_named_property(env, result, "reasons", reasons));
    BINDING_TRY(env, napi_create_object(env, &sizes));
    binding_set_number(env, sizes, "self", sizeof(struct self_row));
    binding_set_number(env, sizes, "peer", sizeof(struct peer_row));
    binding_set_number(env, sizes, "route", sizeof(struct route_row));
    BINDING_TRY(env, napi_set_named_property(env, result, "rowSizes", sizes));
    return result;
}

napi_status binding_register_dataplane(napi_env env, napi_value exports)
{
#define METHOD(name, function)                                                                     \
    {                                                                                              \
        name, NULL, function, NULL, NULL, NULL, napi_enumerable, NULL                              \
    }
    const napi_property_descriptor methods[] = {
        METHOD("open", dataplane_open),
        METHOD("start", dataplane_start),
        METHOD("pause", dataplane_pause),
        METHOD("replaceTables", dataplane_replace_tables),
        METHOD("stop", dataplane_stop),
        METHOD("advanced", dataplane_advanced),
        METHOD("readCounters", dataplane_read_counters),
        METHOD("readPeerCounters", dataplane_read_peer_counters),
        METHOD("onEvents", dataplane_on_events),
        METHOD("capabilities", dataplane_capabilities),
    };
#undef METHOD
    return napi_define_properties(env, exports, sizeof methods / sizeof *methods, methods);
}
