/* The addon's entry: how the process uses memory, and what src/native/bindings.ts lists, registered in its order. */
#include <malloc.h>

#include "binding.h"

/*
 * What is freed goes back to the kernel. By default glibc keeps ever larger blocks in case they are wanted again
 * (M_MMAP_THRESHOLD in mallopt(3)): of a daemon with 1 000 peers that is 6 of 82 MB, V8's compiler's mostly.
 */
static void keep_little(void)
{
#ifdef __GLIBC__
    mallopt(M_TRIM_THRESHOLD, 64 * 1024);
#endif
}

static napi_value initialise(napi_env env, napi_value exports)
{
    keep_little();
    BINDING_TRY(env, binding_register_dataplane(env, exports));
    BINDING_TRY(env, binding_register_inspect(env, exports));
    BINDING_TRY(env, binding_register_system(env, exports));
    return exports;
}

NAPI_MODULE(NODE_GYP_MODULE_NAME, initialise)
