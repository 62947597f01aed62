/*
 * Looking at packets: captures (io/capture.h) and traces (io/trace.h). All functions run on the event loop's thread,
 * which is the engine's control thread.
 */
#include "binding.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../io/engine.h"
#include "../io/trace.h"

/* --- captures ------------------------------------------------------------------------------------------------- */

/* Arguments of (engine, bytes), bytes of at least `wanted`. Null, with an exception pending, when they are not. */
static struct engine *get_engine_and_bytes(napi_env env, napi_callback_info info, size_t wanted,
                                           const uint8_t **bytes)
{
    napi_value values[2];
    size_t len;
    if (!binding_get_arguments(env, info, values, 2) ||
        !binding_get_bytes(env, values[1], bytes, &len))
        return NULL;
    if (len < wanted) {
        napi_throw_type_error(env, "ERR_INVALID_ARG_VALUE", "the Uint8Array is too short");
        return NULL;
    }
    return binding_get_engine(env, values[0]);
}

static napi_value capture_start_call(napi_env env, napi_callback_info info)
{
    struct capture_filter filter;
    const uint8_t *bytes;
    struct engine *engine = get_engine_and_bytes(env, info, sizeof filter, &bytes);
    if (engine == NULL)
        return NULL;
    memcpy(&filter, bytes, sizeof filter);
    int error = capture_start(&engine->captures, &engine->rcu, &filter);
    return error == 0 ? binding_undefined(env) : binding_throw_errno(env, error, "captureStart");
}

static napi_value capture_read_call(napi_env env, napi_callback_info info)
{
    const uint8_t *bytes;
    struct engine *engine = get_engine_and_bytes(env, info, CAPTURE_RING, &bytes);
    napi_value number;
    if (engine == NULL)
        return NULL;
    size_t len = capture_read(&engine->captures, &engine->rcu, (uint8_t *)bytes);
    BINDING_TRY(env, napi_create_uint32(env, (uint32_t)len, &number));
    return number;
}

static napi_value capture_stop_call(napi_env env, napi_callback_info info)
{
    napi_value argument, list, number;
    struct engine *engine;
    uint64_t lost[CAPTURE_STEPS];
    if (!binding_get_arguments(env, info, &argument, 1) ||
        (engine = binding_get_engine(env, argument)) == NULL)
        return NULL;
    capture_stop(&engine->captures, &engine->rcu, lost);
    BINDING_TRY(env, napi_create_array_with_length(env, CAPTURE_STEPS, &list));
    for (uint32_t i = 0; i < CAPTURE_STEPS; i++) {
        BINDING_TRY(env, napi_create_double(env, (double)lost[i], &number));
        napi_set_element(env, list, i, number);
    }
    return list;
}

/* --- traces --------------------------------------------------------------------------------------------------- */

/* A Uint8Array of the pieces laid end to end; null when they are empty. */
static napi_value bytes_value(napi_env env, const struct iovec *pieces, size_t n)
{
    napi_value buffer, value;
    uint8_t *to;
    size_t len = 0;
    for (size_t i = 0; i < n; i++)
        len += pieces[i].iov_len;
    if (len == 0) {
        napi_get_null(env, &value);
        return value;
    }
    BINDING_TRY(env, napi_create_arraybuffer(env, len, (void **)&to, &buffer));
    BINDING_TRY(env, napi_create_typedarray(env, napi_uint8_array, len, buffer, 0, &value));
    for (size_t i = 0; i < n; to += pieces[i++].iov_len)
        memcpy(to, pieces[i].iov_base, pieces[i].iov_len);
    return value;
}

/* The queue holds one datagram per run. */
static napi_value datagrams_value(napi_env env, const struct sendq *q)
{
    napi_value list, row;
    BINDING_TRY(env, napi_create_array_with_length(env, q->run_count, &list));
    for (uint32_t i = 0; i < q->run_count; i++) {
        const struct run *run = &q->runs[i];
        BINDING_TRY(env, napi_create_object(env, &row));
        binding_set_number(env, row, "peer", run->way.peer);
        binding_set_number(env, row, "tos", run->way.tos);
        napi_set_named_property(env, row, "bytes",
                                bytes_value(env, &q->pieces[run->first_piece], run->pieces));
        napi_set_element(env, list, i, row);
    }
    return list;
}

static napi_value trace_value(napi_env env, struct trace *t)
{
    napi_value result;
    struct iovec packet = {t->out.data, t->out.len};
    struct iovec reply = {t->forward.reply, t->forward.reply_len};
    BINDING_TRY(env, napi_create_object(env, &result));
    binding_set_string(env, result, "reason", t->reason == DROP_NONE ? NULL : drop_name(t->reason));
    napi_set_named_property(env, result, "datagrams", datagrams_value(env, &t->queue));
    napi_set_named_property(env, result, "packet",
                            bytes_value(env, &packet, t->out.data == NULL ? 0 : 1));
    napi_set_named_property(env, result, "reply", bytes_value(env, &reply, 1));
    return result;
}

static napi_value trace_call(napi_env env, napi_callback_info info)
{
    napi_value values[3];
    struct engine *engine;
    const uint8_t *bytes;
    size_t len;
    uint32_t peer = TRACE_TX;
    if (!binding_get_arguments(env, info, values, 3) ||
        (engine = binding_get_engine(env, values[0])) == NULL ||
        !binding_get_bytes(env, values[2], &bytes, &len))
        return NULL;
    napi_get_value_uint32(env, values[1], &peer); /* null leaves it as it is */
    struct trace *t = engine_trace(engine, peer, bytes, len);
    if (t == NULL)
        return binding_throw_errno(env, errno, "trace");
    napi_value result = trace_value(env, t);
    free(t);
    return result;
}

napi_status binding_register_inspect(napi_env env, napi_value exports)
{
    static const napi_property_descriptor functions[] = {
        {.utf8name = "captureStart", .method = capture_start_call, .attributes = napi_enumerable},
        {.utf8name = "captureRead", .method = capture_read_call, .attributes = napi_enumerable},
        {.utf8name = "captureStop", .method = capture_stop_call, .attributes = napi_enumerable},
        {.utf8name = "trace", .method = trace_call, .attributes = napi_enumerable},
    };
    return napi_define_properties(env, exports, sizeof functions / sizeof *functions, functions);
}
