/** Opens an engine and keeps what its workers notice until somebody listens. */
import type { DataplaneEvent, Native, OpenOptions } from "../native/bindings.js" with {
  "resolution-mode": "import",
};
import type { Opened } from "./inheritance.js" with { "resolution-mode": "import" };

/** Throws the native error (EBUSY, EADDRINUSE, EPERM, ENOENT, …; `syscall` names the call), and leaves nothing behind. */
function openEngine(native: Native, options: OpenOptions): Opened {
  const opened = native.open(options);
  const unheard: DataplaneEvent[] = [];
  let tell = (events: readonly DataplaneEvent[]): void => void unheard.push(...events);
  native.onEvents(opened.engine, (events) => tell(events));
  return {
    ...opened,
    listen: (onEvents) => {
      tell = onEvents;
      onEvents(unheard.splice(0));
    },
  };
}

export = { openEngine };
