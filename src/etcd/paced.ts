/** Bundles the changes of a burst: what follows from them is worked out once for many, and at once for a single one. */

/**
 * Returns a function that runs `task` soon after each call of it: at once when the last run is `pauseMs` ago, else when
 * it is. Calls until then are one. Nothing runs any more after the signal has fired.
 */
export function paced(task: () => void, pauseMs: number, signal: AbortSignal): () => void {
  let timer: NodeJS.Timeout | null = null;
  let ranAt = -Infinity;
  const run = (): void => {
    timer = null;
    task();
    ranAt = performance.now();
  };
  signal.addEventListener("abort", () => timer !== null && clearTimeout(timer), { once: true });
  return () => {
    if (signal.aborted) return;
    timer ??= setTimeout(run, Math.max(0, ranAt + pauseMs - performance.now()));
  };
}
