/** `weft restart`: a new process of weftd takes over from the running one. It is the unit's way to reload. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { EXIT_OK, WeftError } from "../config/errors.js";
import type { Command } from "./command.js";

const PATIENCE_MS = 60_000;
const weftdFile = fileURLToPath(new URL("../weftd.js", import.meta.url));

export const restart: Command = {
  name: "restart",
  usage: "[any flag of weftd]",
  summary: "replace the running daemon by a new process, without losing a packet",
  help: `Starts weftd --replace in the background, with this command's environment, and returns when it
carries packets. For updates, and for settings that need a restart. When the new process fails, its
log says why, and the running one goes on as before.
`,
  run(args) {
    const stdio: ("ignore" | "inherit" | "ipc")[] = ["ignore", "inherit", "inherit", "ipc"];
    const weftd = fork(weftdFile, ["--replace", ...args], { detached: true, stdio });
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => weftd.kill("SIGKILL"), PATIENCE_MS);
      weftd.once("error", reject);
      weftd.once("message", () => {
        clearTimeout(late);
        weftd.disconnect();
        weftd.unref();
        resolve(EXIT_OK);
      });
      weftd.once("exit", (code, signal) => {
        clearTimeout(late);
        reject(
          new WeftError(
            `the new weftd ended (${signal ?? `exit code ${code}`}); the one that ran before goes on`,
          ),
        );
      });
    });
  },
};
