/** Loads the addon that `npm ci` builds. */
import type { Native } from "./bindings.js" with { "resolution-mode": "import" };

// From dist/src/native/, where the compiled file lies.
const ADDON = "../../../native/build/Release/weft.node";

/** The addon. Throws an Error that tells what to do when it is missing or does not load. */
function loadNative(): Native {
  try {
    return require(ADDON) as Native;
  } catch (cause) {
    throw new Error("the native addon is missing or does not load: run `npm ci` where weftd is installed", { cause });
  }
}

export = { loadNative };
