/* The addon's entry: what src/native/bindings.ts lists, registered in its order. */
#include "binding.h"

static napi_value initialise(napi_env env, napi_value exports)
{
    BINDING_TRY(env, binding_register_dataplane(env, exports));
    BINDING_TRY(env, binding_register_inspect(env, exports));
    BINDING_TRY(env, binding_register_system(env, exports));
    return exports;
}

NAPI_MODULE(NODE_GYP_MODULE_NAME, initialise)
